package main

import (
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// change updates a parcel, and returns what the service says that it is then.
func change(depotNumber, number int, builder expression.Builder) (parcel, error) {
	asked := must(builder.Build())
	answer, err := client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &name, Key: keyOf(depotNumber, number), UpdateExpression: asked.Update(),
		ConditionExpression: asked.Condition(), ExpressionAttributeNames: asked.Names(),
		ExpressionAttributeValues: asked.Values(), ReturnValues: types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if err != nil {
		return parcel{}, err
	}
	var now parcel
	check(attributevalue.UnmarshalMap(answer.Attributes, &now) == nil, "cannot be read: %v", answer.Attributes)
	return now, nil
}

func updates() {
	update := expression.Set(expression.Name("state"), expression.Value("arrived")).
		Set(expression.Name("stops"), expression.Name("stops").ListAppend(expression.Value([]stop{{Place: "Genève"}}))).
		Set(expression.Name("note"), expression.Value("by the door")).
		Set(expression.Name("sizes.deep"), expression.Name("sizes.deep").IfNotExists(expression.Value(3))).
		Set(expression.Name("kilos"), expression.Name("kilos").Minus(expression.Value(0.25))).
		Add(expression.Name("version"), expression.Value(1)).
		Delete(expression.Name("labels"), expression.Value(&types.AttributeValueMemberSS{Value: []string{"express"}})).
		Remove(expression.Name("photo"))
	now := must(change(0, 4, expression.NewBuilder().WithUpdate(update)))
	check(now.State == "arrived" && now.Kilos == 4 && now.Version == 1 && *now.Note == "by the door", "%+v", now)
	check(len(now.Stops) == 2 && now.Stops[1].Place == "Genève" && now.Sizes["deep"] == 3, "%+v", now)
	check(len(now.Labels) == 1 && now.Labels[0] == "bin 4" && now.Photo == nil, "%+v", now)

	light := expression.Name("kilos").LessThan(expression.Value(1))
	renamed := expression.Set(expression.Name("state"), expression.Value("lost"))
	_, err := change(0, 4, expression.NewBuilder().WithUpdate(renamed).WithCondition(light))
	failed := refused[*types.ConditionalCheckFailedException](err)
	check(failed.Item["state"].(*types.AttributeValueMemberS).Value == "arrived", "%v", failed.Item)

	absent := must(expression.NewBuilder().WithCondition(expression.Name("depot").AttributeNotExists()).Build())
	_, err = client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &name, Item: must(attributevalue.MarshalMap(made(0, 4))), ConditionExpression: absent.Condition(),
		ExpressionAttributeNames: absent.Names(),
	})
	refused[*types.ConditionalCheckFailedException](err)
	gone := must(client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: &name, Key: keyOf(0, perDepot-1), ReturnValues: types.ReturnValueAllOld,
	}))
	check(gone.Attributes["number"].(*types.AttributeValueMemberN).Value == fmt.Sprint(perDepot-1), "%v", gone.Attributes)
	must(client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &name, Item: gone.Attributes}))
}

// races has several writers count up the same parcel, each with the version that it has read.
func races() {
	const writers, each = 4, 10
	var (
		group sync.WaitGroup
		lock  sync.Mutex
		lost  int
	)
	for range writers {
		group.Add(1)
		go func() {
			defer group.Done()
			for done := 0; done < each; {
				read := stored(1, 1)
				update := expression.Set(expression.Name("version"), expression.Value(read.Version+1))
				same := expression.Name("version").Equal(expression.Value(read.Version))
				_, err := change(1, 1, expression.NewBuilder().WithUpdate(update).WithCondition(same))
				if err == nil {
					done++
					continue
				}
				refused[*types.ConditionalCheckFailedException](err)
				lock.Lock()
				lost++
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	check(stored(1, 1).Version == writers*each, "version %d, %d lost", stored(1, 1).Version, lost)
}

func reasons(err error) (codes []string) {
	for _, one := range refused[*types.TransactionCanceledException](err).CancellationReasons {
		codes = append(codes, *one.Code)
	}
	return codes
}

// transactions moves a parcel from one depot to the next, once however often it is sent, and not where it is missing.
func transactions() {
	moved := made(2, 100)
	there := must(expression.NewBuilder().WithCondition(expression.Name("depot").AttributeExists()).Build())
	transfer := &dynamodb.TransactWriteItemsInput{
		ClientRequestToken: aws.String(name),
		TransactItems: []types.TransactWriteItem{
			{Delete: &types.Delete{
				TableName: &name, Key: keyOf(0, 7), ConditionExpression: there.Condition(), ExpressionAttributeNames: there.Names(),
			}},
			{Put: &types.Put{TableName: &name, Item: must(attributevalue.MarshalMap(moved))}},
			{ConditionCheck: &types.ConditionCheck{
				TableName: &name, Key: keyOf(2, 1), ConditionExpression: there.Condition(), ExpressionAttributeNames: there.Names(),
			}},
		},
	}
	for range 2 {
		must(client.TransactWriteItems(ctx, transfer))
	}
	transfer.ClientRequestToken = nil
	_, err := client.TransactWriteItems(ctx, transfer)
	codes := reasons(err)
	check(fmt.Sprint(codes) == "[ConditionalCheckFailed None None]", "%v", codes)
	got := must(client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: &name, Key: keyOf(0, 7)}},
		{Get: &types.Get{TableName: &name, Key: keyOf(2, 100), ProjectionExpression: aws.String("kilos")}},
	}})).Responses
	check(len(got[0].Item) == 0 && len(got[1].Item) == 1, "%v", got)
	check(got[1].Item["kilos"].(*types.AttributeValueMemberN).Value == "100.25", "%v", got)
}

func statements() {
	parameters := must(attributevalue.MarshalList([]any{depot(1), 35}))
	asked := &dynamodb.ExecuteStatementInput{
		Statement:  aws.String(fmt.Sprintf(`SELECT "number", stops[0].place FROM "%s" WHERE depot = ? AND "number" >= ?`, name)),
		Parameters: parameters,
		Limit:      aws.Int32(2),
	}
	var numbers []string
	for pages := 1; ; pages++ {
		page := must(client.ExecuteStatement(ctx, asked))
		for _, one := range page.Items {
			numbers = append(numbers, one["number"].(*types.AttributeValueMemberN).Value)
		}
		if asked.NextToken = page.NextToken; asked.NextToken == nil {
			check(pages >= 3, "%d pages", pages)
			break
		}
	}
	check(fmt.Sprint(numbers) == "[35 36 37 38 39]", "%v", numbers)

	insert := aws.String(fmt.Sprintf(`INSERT INTO "%s" VALUE {'depot': ?, 'number': ?}`, name))
	pair := func(number int) []types.AttributeValue {
		return must(attributevalue.MarshalList([]any{depot(1), number}))
	}
	answers := must(client.BatchExecuteStatement(ctx, &dynamodb.BatchExecuteStatementInput{
		Statements: []types.BatchStatementRequest{{Statement: insert, Parameters: pair(200)}, {Statement: insert, Parameters: pair(35)}},
	})).Responses
	check(answers[0].Error == nil && answers[1].Error.Code == types.BatchStatementErrorCodeEnumDuplicateItem, "%+v", answers)
	_, err := client.ExecuteTransaction(ctx, &dynamodb.ExecuteTransactionInput{
		TransactStatements: []types.ParameterizedStatement{{Statement: insert, Parameters: pair(201)}, {Statement: insert, Parameters: pair(36)}},
	})
	codes := reasons(err)
	check(fmt.Sprint(codes) == "[None DuplicateItem]", "%v", codes)
	_, err = client.ExecuteStatement(ctx, &dynamodb.ExecuteStatementInput{Statement: insert, Parameters: pair(37)})
	var duplicate *types.DuplicateItemException
	check(errors.As(err, &duplicate), "not DuplicateItemException: %v", err)
}
