package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// patience is how long an answer may take before it counts as an error.
const patience = 30 * time.Second

// connection is one keep-alive connection of HTTP/1.1, opened when it is needed. The standard client would cost more
// CPU per request than some servers do.
type connection struct {
	address string
	socket  net.Conn
	reader  *bufio.Reader
	body    []byte
}

// answer is what came back; its body is good until the next exchange.
type answer struct {
	status int
	body   []byte
}

// exchange sends a request and reads its answer. After an error the next exchange begins on a new connection.
func (c *connection) exchange(request []byte) (answer, error) {
	if err := c.open(); err != nil {
		return answer{}, err
	}
	got, keep, err := c.roundTrip(request)
	if err != nil || !keep {
		c.close()
	}
	return got, err
}

// open connects where there is no connection.
func (c *connection) open() error {
	if c.socket != nil {
		return nil
	}
	socket, err := net.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	c.socket, c.reader = socket, bufio.NewReaderSize(socket, 64<<10)
	return nil
}

func (c *connection) close() {
	if c.socket != nil {
		c.socket.Close()
		c.socket = nil
	}
}

func (c *connection) roundTrip(request []byte) (got answer, keep bool, err error) {
	if err = c.socket.SetDeadline(time.Now().Add(patience)); err != nil {
		return got, false, err
	}
	if _, err = c.socket.Write(request); err != nil {
		return got, false, err
	}
	if got.status, err = c.statusLine(); err != nil {
		return got, false, err
	}
	h, err := c.headers()
	if err != nil {
		return got, false, err
	}
	c.body = c.body[:0]
	switch {
	case h.chunked:
		err = c.readChunks()
	case h.length >= 0:
		err = c.readBody(h.length)
	default:
		err = errors.New("an answer with neither length nor chunks")
	}
	got.body = c.body
	return got, !h.closing, err
}

func (c *connection) statusLine() (int, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) || len(line) < 12 {
		return 0, fmt.Errorf("not an answer of HTTP/1.1: %q", line)
	}
	return strconv.Atoi(string(line[9:12]))
}

// framing is what the headers say about where the answer ends.
type framing struct {
	length  int // -1 where none is given
	chunked bool
	closing bool
}

func (c *connection) headers() (framing, error) {
	f := framing{length: -1}
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return f, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return f, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("content-length")):
			if f.length, err = strconv.Atoi(string(value)); err != nil {
				return f, err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			f.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("connection")):
			f.closing = bytes.EqualFold(value, []byte("close"))
		}
	}
}

// readBody appends n bytes to the body.
func (c *connection) readBody(n int) error {
	before := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	_, err := io.ReadFull(c.reader, c.body[before:])
	return err
}

func (c *connection) readChunks() error {
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return err
		}
		if err := c.readBody(int(size)); err != nil {
			return err
		}
		if _, err := c.reader.Discard(len("\r\n")); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}
