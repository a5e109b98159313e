package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The key and the derived key are the example of "Signature Version 4 signing key" in the AWS documentation.
func TestSigningKeyIsTheDocumentedOne(t *testing.T) {
	s := signer{secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", region: "us-east-1"}
	got := hex.EncodeToString(s.signingKey("20150830", "iam"))
	if want := "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"; got != want {
		t.Fatalf("%s, not %s", got, want)
	}
}

func TestRequestIsWholeAndSigned(t *testing.T) {
	s := server{host: "127.0.0.1:8000", signer: signer{accessKeyID: "ID", secret: "secret", region: "eu-west-1"}}
	at := time.Date(2026, 3, 1, 23, 59, 58, 0, time.UTC)
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(s.request("GetItem", `{"a":"ü"}`, at))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != `{"a":"ü"}` {
		t.Fatalf("body %q, %v", body, err)
	}
	if r.Host != "127.0.0.1:8000" || r.Header.Get("X-Amz-Target") != "DynamoDB_20120810.GetItem" {
		t.Fatalf("%q %q", r.Host, r.Header)
	}
	if r.Header.Get("X-Amz-Date") != "20260301T235958Z" {
		t.Fatalf("date %q", r.Header.Get("X-Amz-Date"))
	}
	credential := "AWS4-HMAC-SHA256 Credential=ID/20260301/eu-west-1/dynamodb/aws4_request, SignedHeaders=" + signedHeaders
	if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, credential+", Signature=") {
		t.Fatalf("authorization %q", got)
	}
}

func TestSignatureDependsOnWhatIsSigned(t *testing.T) {
	s := signer{accessKeyID: "ID", secret: "secret", region: "us-east-1"}
	first := s.authorization("h:1", "t", "20260301T000000Z", "body")
	if first != s.authorization("h:1", "t", "20260301T000000Z", "body") {
		t.Fatal("two signatures of the same request differ")
	}
	others := []string{
		s.authorization("h:2", "t", "20260301T000000Z", "body"),
		s.authorization("h:1", "u", "20260301T000000Z", "body"),
		s.authorization("h:1", "t", "20260301T000001Z", "body"),
		s.authorization("h:1", "t", "20260301T000000Z", "Body"),
	}
	for i, other := range others {
		if other == first {
			t.Errorf("change %d left the signature as it was", i)
		}
	}
}
