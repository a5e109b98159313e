// Signs requests with the signer of the AWS SDK for Go, for a test that verifies what it signed.
//
// Reads one JSON object per line from standard input and writes one per line to standard output.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// What to sign: a request of Unix time Seconds, in its headers or, with Presign, in its URL.
type wanted struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    []byte            `json:"body"`
	KeyID   string            `json:"key_id"`
	Secret  string            `json:"secret"`
	Region  string            `json:"region"`
	Service string            `json:"service"`
	Seconds int64             `json:"seconds"`
	Presign bool              `json:"presign"`
}

type signed struct {
	URL     string              `json:"url"`
	Headers map[string][]string `json:"headers"`
}

func sign(w wanted) (signed, error) {
	request, err := http.NewRequest(w.Method, w.URL, bytes.NewReader(w.Body))
	if err != nil {
		return signed{}, err
	}
	for name, value := range w.Headers {
		request.Header.Set(name, value)
	}
	sum := sha256.Sum256(w.Body)
	hash := hex.EncodeToString(sum[:])
	credentials := aws.Credentials{AccessKeyID: w.KeyID, SecretAccessKey: w.Secret}
	at := time.Unix(w.Seconds, 0)
	signer := v4.NewSigner()
	if w.Presign {
		url, headers, err := signer.PresignHTTP(context.Background(), credentials, request, hash, w.Service, w.Region, at)
		return signed{url, headers}, err
	}
	err = signer.SignHTTP(context.Background(), credentials, request, hash, w.Service, w.Region, at)
	headers := request.Header
	headers.Set("Host", request.URL.Host)
	return signed{request.URL.String(), headers}, err
}

func main() {
	in := bufio.NewReader(os.Stdin)
	decoder := json.NewDecoder(in)
	out := json.NewEncoder(os.Stdout)
	for decoder.More() {
		var w wanted
		if err := decoder.Decode(&w); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		s, err := sign(w)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(s); err != nil {
			os.Exit(1)
		}
	}
}
