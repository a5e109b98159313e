// Parcels on their way: a table with indexes and a stream, through everything that programs with this SDK use.
//
// It knows the table's name, its first argument; all else comes from the variables that the SDK reads. It prints the
// name of each part behind which everything was as it should be.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
)

const (
	depots   = 3
	perDepot = 40
	patience = time.Minute
)

type stop struct {
	Place string                  `dynamodbav:"place"`
	At    attributevalue.UnixTime `dynamodbav:"at"`
}

type parcel struct {
	Depot   string         `dynamodbav:"depot"`
	Number  int            `dynamodbav:"number"`
	State   string         `dynamodbav:"state"`
	Kilos   float64        `dynamodbav:"kilos"`
	Labels  []string       `dynamodbav:"labels,stringset,omitempty"`
	Photo   []byte         `dynamodbav:"photo,omitempty"`
	Stops   []stop         `dynamodbav:"stops"`
	Sizes   map[string]int `dynamodbav:"sizes"`
	Note    *string        `dynamodbav:"note"`
	Fragile bool           `dynamodbav:"fragile"`
	Version int            `dynamodbav:"version"`
}

type key struct {
	Depot  string `dynamodbav:"depot"`
	Number int    `dynamodbav:"number"`
}

type item = map[string]types.AttributeValue

var (
	ctx      = context.Background()
	settings aws.Config
	client   *dynamodb.Client
	streams  *dynamodbstreams.Client
	name     string
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
	return value
}

func check(holds bool, format string, values ...any) {
	if !holds {
		log.Output(2, fmt.Sprintf(format, values...))
		os.Exit(1)
	}
}

// refused makes sure that a call failed with an error of this type, which it returns.
func refused[E error](err error) E {
	var want E
	if !errors.As(err, &want) {
		log.Output(2, fmt.Sprintf("not %v: %v", reflect.TypeFor[E](), err))
		os.Exit(1)
	}
	return want
}

func depot(number int) string { return fmt.Sprint("depot-", number) }

// made is the parcel with this number at a depot, as it is first written.
func made(depotNumber, number int) parcel {
	made := parcel{
		Depot:   depot(depotNumber),
		Number:  number,
		State:   []string{"waiting", "moving"}[number%2],
		Kilos:   float64(number) + 0.25,
		Photo:   []byte{0, 255, byte(number)},
		Stops:   []stop{{"Zürich", attributevalue.UnixTime(time.Unix(1_700_000_000+int64(number), 0))}},
		Sizes:   map[string]int{"wide": number, "high": -number},
		Fragile: number%5 == 0,
	}
	if number%4 == 0 {
		made.Labels = []string{"express", fmt.Sprint("bin ", number)}
	}
	return made
}

func keyOf(depotNumber, number int) item {
	return must(attributevalue.MarshalMap(key{depot(depotNumber), number}))
}

func stored(depotNumber, number int) parcel {
	got := must(client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &name, Key: keyOf(depotNumber, number), ConsistentRead: aws.Bool(true),
	}))
	check(got.Item != nil, "parcel %d of %d is not there", number, depotNumber)
	var read parcel
	check(attributevalue.UnmarshalMap(got.Item, &read) == nil, "cannot be read: %v", got.Item)
	return read
}

func parcelsOf(items []item) (read []parcel) {
	check(attributevalue.UnmarshalListOfMaps(items, &read) == nil, "cannot be read: %v", items)
	return read
}

func main() {
	log.SetFlags(log.Lshortfile)
	name = os.Args[1]
	settings = must(config.LoadDefaultConfig(ctx))
	client, streams = dynamodb.NewFromConfig(settings), dynamodbstreams.NewFromConfig(settings)
	parts := []struct {
		name string
		run  func()
	}{
		{"tables", tables},
		{"batches", batches},
		{"queries", queries},
		{"scans", scans},
		{"updates", updates},
		{"races", races},
		{"transactions", transactions},
		{"statements", statements},
		{"changes", changes},
		{"upkeep", upkeep},
		{"refusals", refusals},
		{"compression", compression},
		{"deletion", deletion},
	}
	for _, part := range parts {
		part.run()
		fmt.Println(part.name)
	}
}
