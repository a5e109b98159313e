package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	changed "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/smithy-go"
)

func keys(partition, sort string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: &partition, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange},
	}
}

func attribute(name string, kind types.ScalarAttributeType) types.AttributeDefinition {
	return types.AttributeDefinition{AttributeName: &name, AttributeType: kind}
}

func tables() {
	definition := &dynamodb.CreateTableInput{
		TableName: &name,
		AttributeDefinitions: []types.AttributeDefinition{
			attribute("depot", types.ScalarAttributeTypeS), attribute("number", types.ScalarAttributeTypeN),
			attribute("state", types.ScalarAttributeTypeS), attribute("kilos", types.ScalarAttributeTypeN),
		},
		KeySchema: keys("depot", "number"),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String("by-state"), KeySchema: keys("state", "number"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		}},
		LocalSecondaryIndexes: []types.LocalSecondaryIndex{{
			IndexName: aws.String("by-weight"), KeySchema: keys("depot", "kilos"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
		BillingMode:         types.BillingModePayPerRequest,
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
		Tags:                []types.Tag{{Key: aws.String("team"), Value: aws.String("parcels")}},
	}
	must(client.CreateTable(ctx, definition))
	table := must(dynamodb.NewTableExistsWaiter(client).WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: &name}, patience)).Table
	check(table.TableStatus == types.TableStatusActive && len(table.GlobalSecondaryIndexes) == 1, "%+v", table)
	tags := must(client.ListTagsOfResource(ctx, &dynamodb.ListTagsOfResourceInput{ResourceArn: table.TableArn})).Tags
	check(len(tags) == 1 && *tags[0].Value == "parcels", "%v", tags)
	_, err := client.CreateTable(ctx, definition)
	refused[*types.ResourceInUseException](err)

	var listed []string
	turner := dynamodb.NewListTablesPaginator(client, &dynamodb.ListTablesInput{Limit: aws.Int32(1)})
	for turner.HasMorePages() {
		listed = append(listed, must(turner.NextPage(ctx)).TableNames...)
	}
	check(strings.Contains("\n"+strings.Join(listed, "\n")+"\n", "\n"+name+"\n"), "not in %v", listed)
}

// A reading is how far a shard has been read.
type reading struct {
	parent   string
	iterator *string
}

// discover adds the shards that are not known yet, to be read from their beginnings.
func discover(stream *string, shards map[string]*reading) {
	for asked := (&dynamodbstreams.DescribeStreamInput{StreamArn: stream}); ; {
		told := must(streams.DescribeStream(ctx, asked)).StreamDescription
		check(told.StreamViewType == changed.StreamViewTypeNewAndOldImages, "%+v", told)
		for _, shard := range told.Shards {
			if shards[*shard.ShardId] == nil {
				iterator := must(streams.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{
					StreamArn: stream, ShardId: shard.ShardId, ShardIteratorType: changed.ShardIteratorTypeTrimHorizon,
				})).ShardIterator
				shards[*shard.ShardId] = &reading{aws.ToString(shard.ParentShardId), iterator}
			}
		}
		if asked.ExclusiveStartShardId = told.LastEvaluatedShardId; asked.ExclusiveStartShardId == nil {
			return
		}
	}
}

// advance reads a page of each shard whose parent has been read to its end.
func advance(shards map[string]*reading) (records []changed.Record) {
	for _, one := range shards {
		if parent := shards[one.parent]; one.iterator == nil || parent != nil && parent.iterator != nil {
			continue
		}
		page := must(streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: one.iterator, Limit: aws.Int32(20)}))
		records, one.iterator = append(records, page.Records...), page.NextShardIterator
	}
	return records
}

// changes reads the table's stream from its beginning, and has the changes of each parcel in the order that they were made in.
func changes() {
	// All in batches; one deleted and put again; one moved by a transaction; one by a statement; forty by races.
	const inserts, modifies, removes = depots*perDepot + 3, 1 + 40, 2
	stream := must(client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})).Table.LatestStreamArn
	versions, kinds, shards := map[string]string{}, map[changed.OperationType]int{}, map[string]*reading{}
	total := 0
	for until := time.Now().Add(patience); total < inserts+modifies+removes; {
		check(time.Now().Before(until), "%d changes came", total)
		discover(stream, shards)
		for _, record := range advance(shards) {
			kinds[record.EventName]++
			total++
			follow(versions, record)
		}
	}
	check(kinds[changed.OperationTypeInsert] == inserts && kinds[changed.OperationTypeModify] == modifies, "%v", kinds)
	check(len(advance(shards)) == 0, "more changes than were made")
}

// follow makes sure that a change begins where the one before it has ended.
func follow(versions map[string]string, record changed.Record) {
	number := record.Dynamodb.Keys["number"].(*changed.AttributeValueMemberN).Value
	one := record.Dynamodb.Keys["depot"].(*changed.AttributeValueMemberS).Value + "/" + number
	version := func(image map[string]changed.AttributeValue) string {
		if value, ok := image["version"].(*changed.AttributeValueMemberN); ok {
			return value.Value
		}
		return ""
	}
	before := version(record.Dynamodb.OldImage)
	check(versions[one] == before, "%s was at %q and comes from %q", one, versions[one], before)
	versions[one] = version(record.Dynamodb.NewImage)
}

// upkeep adds an index while the table is there, queries it, and sets what goes with a table.
func upkeep() {
	must(client.UpdateTable(ctx, &dynamodb.UpdateTableInput{
		TableName:            &name,
		AttributeDefinitions: []types.AttributeDefinition{attribute("depot", types.ScalarAttributeTypeS), attribute("state", types.ScalarAttributeTypeS)},
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &types.CreateGlobalSecondaryIndexAction{
			IndexName: aws.String("later"), KeySchema: keys("state", "depot"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeInclude, NonKeyAttributes: []string{"kilos"}},
		}}},
	}))
	for until := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		table := must(client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})).Table
		ready := table.TableStatus == types.TableStatusActive
		for _, index := range table.GlobalSecondaryIndexes {
			ready = ready && index.IndexStatus == types.IndexStatusActive
		}
		if ready {
			check(len(table.GlobalSecondaryIndexes) == 2, "%+v", table.GlobalSecondaryIndexes)
			break
		}
		check(time.Now().Before(until), "the index is not filled: %+v", table.GlobalSecondaryIndexes)
	}
	arrived := must(client.Query(ctx, &dynamodb.QueryInput{
		TableName: &name, IndexName: aws.String("later"), KeyConditionExpression: aws.String("#s = :s"),
		ExpressionAttributeNames:  map[string]string{"#s": "state"},
		ExpressionAttributeValues: item{":s": &types.AttributeValueMemberS{Value: "arrived"}},
	})).Items
	check(len(arrived) == 1 && len(arrived[0]) == 4, "%v", arrived)

	must(client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: &name, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("until"), Enabled: aws.Bool(true)},
	}))
	lives := must(client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})).TimeToLiveDescription
	check(*lives.AttributeName == "until" && strings.HasPrefix(string(lives.TimeToLiveStatus), "ENABL"), "%+v", lives)
}

func refusals() {
	_, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(name + "-none")})
	refused[*types.ResourceNotFoundException](err)
	invalid := func(err error, says string) {
		api := refused[smithy.APIError](err)
		check(api.ErrorCode() == "ValidationException" && strings.Contains(api.ErrorMessage(), says), "%v", api)
	}
	_, err = client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &name, Key: item{"depot": &types.AttributeValueMemberS{Value: "x"}}})
	invalid(err, "The provided key element does not match the schema")
	large := keyOf(0, 300)
	large["photo"] = &types.AttributeValueMemberB{Value: make([]byte, 400<<10)}
	_, err = client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &name, Item: large})
	invalid(err, "Item size has exceeded the maximum allowed size")
	_, err = client.Scan(ctx, &dynamodb.ScanInput{TableName: &name, FilterExpression: aws.String("size(")})
	invalid(err, "Invalid FilterExpression: Syntax error")
	known := must(settings.Credentials.Retrieve(ctx))
	forged := dynamodb.NewFromConfig(settings, func(options *dynamodb.Options) {
		options.Credentials = credentials.NewStaticCredentialsProvider(known.AccessKeyID, known.SecretAccessKey+"x", "")
	})
	_, err = forged.ListTables(ctx, &dynamodb.ListTablesInput{})
	code := refused[smithy.APIError](err).ErrorCode()
	check(code == "InvalidSignatureException", "%s", fmt.Sprint(err))
}

func deletion() {
	must(client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name}))
	err := dynamodb.NewTableNotExistsWaiter(client).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, patience)
	check(err == nil, "%v", err)
	_, err = client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name})
	refused[*types.ResourceNotFoundException](err)
}
