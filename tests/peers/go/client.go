package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"time"
)

const deadline = 20 * time.Second

// A batch is what one client asks of one origin by one way.
type batch struct {
	Client    string     `json:"client"`
	Base      string     `json:"base"`
	Proxy     string     `json:"proxy"`
	Scenarios []scenario `json:"scenarios"`
}

type scenario struct {
	Name     string    `json:"name"`
	AtOnce   bool      `json:"at_once"`
	Requests []request `json:"requests"`
}

type request struct {
	Method   string `json:"method"`
	Path     string `json:"path"`
	Headers  []line `json:"headers"`
	Size     *int   `json:"size"`
	Chunked  bool   `json:"chunked"`
	Trailers []line `json:"trailers"`
	Ack      bool   `json:"ack"`
	Stop     bool   `json:"stop"`
	Upgrade  string `json:"upgrade"`
}

// What the client got.
type got struct {
	Interim  []interim `json:"interim"`
	Status   int       `json:"status,omitempty"`
	Reason   string    `json:"reason"`
	Version  string    `json:"version"`
	Headers  []line    `json:"headers"`
	Body     *message  `json:"body,omitempty"`
	Trailers []line    `json:"trailers"`
	Error    string    `json:"error,omitempty"`
}

type interim struct {
	Status  int    `json:"status"`
	Headers []line `json:"headers"`
}

// Runs one batch after the other until the input ends.
func ask(input *json.Decoder) {
	for {
		var batch batch
		if err := input.Decode(&batch); err != nil {
			return
		}
		results := map[string][]got{}
		transport := transportOf(batch)
		client := &http.Client{Transport: transport, CheckRedirect: stay}
		for _, scenario := range batch.Scenarios {
			results[scenario.Name] = run(client, batch.Base, scenario)
		}
		transport.CloseIdleConnections()
		tell(results)
	}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// HTTP/1.1 uses the proxy it is told to; HTTP/2 connects to it in place of the origin.
func transportOf(batch batch) *http.Transport {
	transport := &http.Transport{
		ExpectContinueTimeout:  deadline,
		MaxIdleConnsPerHost:    64,
		MaxResponseHeaderBytes: 1 << 20,
	}
	if batch.Client == "go2" {
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
		transport.DialContext = func(ctx context.Context, network, at string) (net.Conn, error) {
			if batch.Proxy != "" {
				at = batch.Proxy
			}
			return new(net.Dialer).DialContext(ctx, network, at)
		}
	} else if batch.Proxy != "" {
		transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: batch.Proxy})
	}
	return transport
}

func run(client *http.Client, base string, scenario scenario) []got {
	results := make([]got, len(scenario.Requests))
	var all sync.WaitGroup
	for i, request := range scenario.Requests {
		one := func() { results[i] = exchange(client, base, request) }
		if scenario.AtOnce {
			all.Go(one)
		} else {
			one()
		}
	}
	all.Wait()
	return results
}

func exchange(client *http.Client, base string, asked request) (result got) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	trace := &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			result.Interim = append(result.Interim, interim{code, linesOf(http.Header(header))})
			return nil
		},
		Got100Continue: func() { result.Interim = append(result.Interim, interim{100, []line{}}) },
	}
	result.Interim, result.Headers, result.Trailers = []interim{}, []line{}, []line{}
	sent, err := requestOf(httptrace.WithClientTrace(ctx, trace), base, asked)
	if err != nil {
		panic(err)
	}
	response, err := client.Do(sent)
	if err != nil {
		result.Error = plain(err)
		return result
	}
	defer response.Body.Close()
	result.Status = response.StatusCode
	result.Reason = strings.TrimPrefix(response.Status, fmt.Sprint(response.StatusCode, " "))
	result.Version = response.Proto
	result.Headers = linesOf(response.Header)
	var body []byte
	switch {
	case asked.Upgrade != "" && response.StatusCode == http.StatusSwitchingProtocols:
		body, err = converse(response.Body.(io.ReadWriteCloser), asked)
	case asked.Stop:
		_, err = response.Body.Read(make([]byte, 1))
		cancel()
	default:
		body, err = read(client, base, asked, response.Body)
	}
	if err != nil {
		result.Error = plain(err)
		return result
	}
	told := messageOf(body)
	result.Body = &told
	result.Trailers = linesOf(response.Trailer)
	return result
}

func requestOf(ctx context.Context, base string, asked request) (*http.Request, error) {
	var body io.Reader
	if asked.Size != nil && asked.Upgrade == "" {
		body = bytes.NewReader(numbered(*asked.Size))
		if asked.Chunked {
			body = io.MultiReader(body)
		}
	}
	made, err := http.NewRequestWithContext(ctx, asked.Method, base+asked.Path, body)
	if err != nil {
		return nil, err
	}
	for _, header := range asked.Headers {
		made.Header[header[0]] = append(made.Header[header[0]], bytesOf(header[1]))
	}
	for _, trailer := range asked.Trailers {
		if made.Trailer == nil {
			made.Trailer = http.Header{}
		}
		made.Trailer.Add(trailer[0], trailer[1])
	}
	return made, nil
}

// Reads a body to its end; where asked to, acknowledges every event before it reads on.
func read(client *http.Client, base string, asked request, body io.Reader) ([]byte, error) {
	if !asked.Ack {
		return io.ReadAll(body)
	}
	all, piece := []byte{}, make([]byte, 4096)
	for {
		n, err := body.Read(piece)
		all = append(all, piece[:n]...)
		for range bytes.Count(piece[:n], []byte("\n\n")) {
			acknowledge := request{Method: "GET", Path: "/ack", Headers: asked.Headers}
			if done := exchange(client, base, acknowledge); done.Error != "" {
				return all, errors.New("no acknowledgement: " + done.Error)
			}
		}
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
	}
}

// Speaks the protocol that was switched to: everything said comes back.
func converse(connection io.ReadWriteCloser, asked request) ([]byte, error) {
	said := numbered(*asked.Size)
	go connection.Write(said)
	heard := make([]byte, len(said))
	_, err := io.ReadFull(connection, heard)
	connection.Close()
	return heard, err
}

// The words of an error without what differs from one connection to the next.
func plain(err error) string {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
