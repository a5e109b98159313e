package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
)

// serve answers every request of one line with the next of the texts, on as many connections as are opened.
func serve(t *testing.T, texts ...string) (address string, opened *int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	opened = new(int)
	go func() {
		for {
			socket, err := listener.Accept()
			if err != nil {
				return
			}
			*opened++
			lines := bufio.NewReader(socket)
			for len(texts) > 0 {
				if _, err := lines.ReadString('\n'); err != nil {
					break
				}
				text := texts[0]
				texts = texts[1:]
				fmt.Fprint(socket, text)
				if strings.Contains(strings.ToLower(text), "connection: close") {
					break
				}
			}
			socket.Close()
		}
	}()
	return listener.Addr().String(), opened
}

func TestExchangeReadsLengthsAndChunks(t *testing.T) {
	address, opened := serve(t,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 400 Bad Request\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	)
	c := &connection{address: address}
	defer c.close()
	for _, want := range []answer{{200, []byte("hello")}, {400, []byte("abc0123456789")}, {200, nil}} {
		got, err := c.exchange([]byte("ask\n"))
		if err != nil || got.status != want.status || string(got.body) != string(want.body) {
			t.Fatalf("%d %q %v, not %d %q", got.status, got.body, err, want.status, want.body)
		}
	}
	if *opened != 1 {
		t.Fatalf("%d connections opened", *opened)
	}
}

func TestExchangeOpensAnewAfterAClose(t *testing.T) {
	address, opened := serve(t,
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	)
	c := &connection{address: address}
	defer c.close()
	for range 2 {
		if got, err := c.exchange([]byte("ask\n")); err != nil || string(got.body) != "ok" {
			t.Fatalf("%q %v", got.body, err)
		}
	}
	if *opened != 2 {
		t.Fatalf("%d connections opened", *opened)
	}
}

func TestExchangeRefusesWhatIsNoAnswer(t *testing.T) {
	for _, text := range []string{
		"SMTP ready\r\n",
		"HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\ncut",
	} {
		address, _ := serve(t, text)
		c := &connection{address: address}
		if _, err := c.exchange([]byte("ask\n")); err == nil {
			t.Errorf("%q was taken for an answer", text)
		}
		c.close()
	}
}
