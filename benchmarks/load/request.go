package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

const (
	contentType   = "application/x-amz-json-1.0"
	targetPrefix  = "DynamoDB_20120810."
	signedHeaders = "content-type;host;x-amz-date;x-amz-target"
)

// server is where requests go and who signs them.
type server struct {
	host   string // with the port, as the Host header has it
	signer signer
}

// request returns the bytes of one HTTP/1.1 request, signed for the given moment.
func (s server) request(operation, body string, now time.Time) []byte {
	target, stamp := targetPrefix+operation, stampOf(now)
	return post(s.host, target, stamp, s.signer.authorization(s.host, target, stamp, body), body)
}

// stampOf returns a moment as the x-amz-date header has it.
func stampOf(now time.Time) string { return now.UTC().Format("20060102T150405Z") }

// post returns the bytes of a signed request.
func post(host, target, stamp, authorization, body string) []byte {
	head := [...][2]string{
		{"content-type", contentType}, {"host", host}, {"x-amz-date", stamp}, {"x-amz-target", target},
		{"authorization", authorization}, {"content-length", strconv.Itoa(len(body))},
	}
	var b strings.Builder
	b.WriteString("POST / HTTP/1.1\r\n")
	for _, field := range head {
		b.WriteString(field[0] + ": " + field[1] + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return []byte(b.String())
}

// signer makes signatures of version 4, as "Create a signed AWS API request" in the IAM User Guide describes them.
type signer struct {
	accessKeyID, secret, region string
}

// authorization returns the Authorization header of a POST to / with the four signed headers above.
func (s signer) authorization(host, target, stamp, body string) string {
	return s.authorizationBy(s.signingKey(stamp[:8], "dynamodb"), "dynamodb", host, target, stamp, body)
}

// authorizationBy returns the same for any service, by the key that was derived for it and the day.
func (s signer) authorizationBy(key []byte, service, host, target, stamp, body string) string {
	scope := strings.Join([]string{stamp[:8], s.region, service, "aws4_request"}, "/")
	canonical := strings.Join([]string{
		"POST", "/", "",
		"content-type:" + contentType, "host:" + host, "x-amz-date:" + stamp, "x-amz-target:" + target, "",
		signedHeaders, digest(body),
	}, "\n")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, digest(canonical)}, "\n")
	signature := hex.EncodeToString(keyed(key, toSign))
	return "AWS4-HMAC-SHA256 Credential=" + s.accessKeyID + "/" + scope + ", SignedHeaders=" + signedHeaders +
		", Signature=" + signature
}

func (s signer) signingKey(day, service string) []byte {
	key := []byte("AWS4" + s.secret)
	for _, part := range []string{day, s.region, service, "aws4_request"} {
		key = keyed(key, part)
	}
	return key
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
