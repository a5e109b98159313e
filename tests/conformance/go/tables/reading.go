package main

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// batches writes all parcels, each depot by a sender of its own, and reads them back.
func batches() {
	var senders sync.WaitGroup
	for at := range depots {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for from := 0; from < perDepot; from += 20 {
				var requests []types.WriteRequest
				for number := from; number < from+20; number++ {
					put := &types.PutRequest{Item: must(attributevalue.MarshalMap(made(at, number)))}
					requests = append(requests, types.WriteRequest{PutRequest: put})
				}
				for left := map[string][]types.WriteRequest{name: requests}; len(left) > 0; {
					left = must(client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: left})).UnprocessedItems
				}
			}
		}()
	}
	senders.Wait()
	for at := range depots {
		var keys []item
		for number := range perDepot {
			keys = append(keys, keyOf(at, number))
		}
		var got []item
		for left := map[string]types.KeysAndAttributes{name: {Keys: keys, ConsistentRead: aws.Bool(true)}}; len(left) > 0; {
			answer := must(client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: left}))
			got, left = append(got, answer.Responses[name]...), answer.UnprocessedKeys
		}
		read := parcelsOf(got)
		check(len(read) == perDepot, "%d parcels", len(read))
		for _, one := range read {
			want := made(at, one.Number)
			// A set has no order.
			check(len(one.Labels) == len(want.Labels), "labels: %v", one.Labels)
			one.Labels, want.Labels = nil, nil
			check(reflect.DeepEqual(one, want), "%+v\nis not\n%+v", one, want)
		}
	}
}

// paged asks for everything that a query finds, in pages of this many.
func paged(asked dynamodb.QueryInput, limit int32) (found []parcel, pages int) {
	asked.TableName = &name
	turner := dynamodb.NewQueryPaginator(client, &asked, func(options *dynamodb.QueryPaginatorOptions) { options.Limit = limit })
	for ; turner.HasMorePages(); pages++ {
		page := must(turner.NextPage(ctx))
		check(len(page.Items) <= int(limit), "%d in a page", len(page.Items))
		found = append(found, parcelsOf(page.Items)...)
	}
	return found, pages
}

func queries() {
	byNumber := expression.Key("depot").Equal(expression.Value(depot(1))).
		And(expression.Key("number").Between(expression.Value(10), expression.Value(29)))
	asked := must(expression.NewBuilder().WithKeyCondition(byNumber).Build())
	found, pages := paged(dynamodb.QueryInput{
		KeyConditionExpression: asked.KeyCondition(), ExpressionAttributeNames: asked.Names(),
		ExpressionAttributeValues: asked.Values(), ScanIndexForward: aws.Bool(false),
	}, 7)
	check(len(found) == 20 && pages == 3, "%d in %d pages", len(found), pages)
	check(found[0].Number == 29 && found[19].Number == 10, "from %d to %d", found[0].Number, found[19].Number)

	// The names are words that expressions reserve, or have dots, which the builder stands others in for.
	filter := expression.Name("sizes.wide").GreaterThan(expression.Value(5)).
		And(expression.Name("stops[0].place").BeginsWith("Zü"), expression.Name("labels").Contains("express")).
		And(expression.Not(expression.Name("note").AttributeType(expression.String)))
	shown := expression.NamesList(expression.Name("depot"), expression.Name("number"), expression.Name("stops[0].place"))
	waiting := expression.Key("state").Equal(expression.Value("waiting"))
	asked = must(expression.NewBuilder().WithKeyCondition(waiting).WithFilter(filter).WithProjection(shown).Build())
	found, _ = paged(dynamodb.QueryInput{
		IndexName: aws.String("by-state"), KeyConditionExpression: asked.KeyCondition(), FilterExpression: asked.Filter(),
		ProjectionExpression: asked.Projection(), ExpressionAttributeNames: asked.Names(), ExpressionAttributeValues: asked.Values(),
	}, 11)
	// 8, 12 … 36 at each depot.
	check(len(found) == depots*8, "%d found", len(found))
	for _, one := range found {
		check(one.Number%4 == 0 && one.Number > 5 && one.Stops[0].Place == "Zürich" && one.Kilos == 0, "%+v", one)
	}

	heavy := expression.Key("depot").Equal(expression.Value(depot(2))).
		And(expression.Key("kilos").GreaterThanEqual(expression.Value(30.25)))
	asked = must(expression.NewBuilder().WithKeyCondition(heavy).Build())
	counted := must(client.Query(ctx, &dynamodb.QueryInput{
		TableName: &name, IndexName: aws.String("by-weight"), KeyConditionExpression: asked.KeyCondition(),
		ExpressionAttributeNames: asked.Names(), ExpressionAttributeValues: asked.Values(), Select: types.SelectCount,
		ConsistentRead: aws.Bool(true), ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes,
	}))
	check(counted.Count == 10 && len(counted.Items) == 0, "%d counted", counted.Count)
	used := counted.ConsumedCapacity
	check(*used.CapacityUnits > 0 && *used.LocalSecondaryIndexes["by-weight"].CapacityUnits == *used.CapacityUnits, "%+v", used)
}

// scans reads all parcels, each segment by a reader of its own.
func scans() {
	const segments = 4
	var (
		lock    sync.Mutex
		readers sync.WaitGroup
		seen    = map[string]int{}
	)
	for segment := range segments {
		readers.Add(1)
		go func() {
			defer readers.Done()
			turner := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{
				TableName: &name, Segment: aws.Int32(int32(segment)), TotalSegments: aws.Int32(segments), Limit: aws.Int32(9),
			})
			for turner.HasMorePages() {
				read := parcelsOf(must(turner.NextPage(ctx)).Items)
				lock.Lock()
				for _, one := range read {
					seen[fmt.Sprint(one.Depot, "/", one.Number)]++
				}
				lock.Unlock()
			}
		}()
	}
	readers.Wait()
	check(len(seen) == depots*perDepot, "%d seen", len(seen))
	for one, times := range seen {
		check(times == 1, "%s was seen %d times", one, times)
	}
}

// compression reads everything once more in answers that are compressed, and made sure of by their checksum.
func compression() {
	compressed := dynamodb.NewFromConfig(settings, func(options *dynamodb.Options) { options.EnableAcceptEncodingGzip = true })
	var plain, packed []item
	for _, one := range []struct {
		client *dynamodb.Client
		items  *[]item
	}{{client, &plain}, {compressed, &packed}} {
		*one.items = must(one.client.Scan(ctx, &dynamodb.ScanInput{TableName: &name})).Items
	}
	check(len(plain) >= depots*perDepot && reflect.DeepEqual(plain, packed), "%d and %d", len(plain), len(packed))
}
