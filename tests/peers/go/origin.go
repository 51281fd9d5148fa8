package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
)

// An answer is what the origin says to the requests for a path.
type answer struct {
	Status   int     `json:"status"`
	Headers  []line  `json:"headers"`
	Early    []line  `json:"early"`
	Base64   string  `json:"base64"`
	Size     int     `json:"size"`
	Chunked  bool    `json:"chunked"`
	Trailers []line  `json:"trailers"`
	Events   int     `json:"events"`
	End      string  `json:"end"`
	Upgrade  *string `json:"upgrade"`
}

// What the origin saw of a request.
type seen struct {
	Scenario string  `json:"scenario"`
	Method   string  `json:"method"`
	Target   string  `json:"target"`
	Version  string  `json:"version"`
	Headers  []line  `json:"headers"`
	Body     message `json:"body"`
	Trailers []line  `json:"trailers"`
	Ended    string  `json:"ended"`
	Peer     string  `json:"peer"`
}

// The origin, with the acknowledgements that have come, by scenario.
type origin struct {
	answers map[string]answer
	mutex   sync.Mutex
	acks    map[string]chan struct{}
}

// Serves HTTP/1.1 and unencrypted HTTP/2 on one port until the input ends.
func serve(input *json.Decoder) {
	o := &origin{acks: map[string]chan struct{}{}}
	if err := input.Decode(&o.answers); err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	silent := log.New(io.Discard, "", 0)
	server := &http.Server{Handler: o, Protocols: protocols, ErrorLog: silent}
	go server.Serve(listener)
	port := listener.Addr().(*net.TCPAddr).Port
	tell(map[string]int{"http1": port, "http2": port})
	input.Decode(&struct{}{})
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	told := seen{
		Scenario: r.Header.Get("X-Scenario"),
		Method:   r.Method,
		Target:   r.RequestURI,
		Version:  strings.TrimSuffix(r.Proto, ".0"),
		Headers:  append(linesOf(r.Header), line{"Host", r.Host}),
		Body:     messageOf(body),
		Trailers: linesOf(r.Trailer),
		Ended:    "whole",
		Peer:     r.RemoteAddr,
	}
	if r.Proto == "HTTP/1.0" {
		told.Version = r.Proto
	}
	if err != nil {
		told.Ended = "cut short"
	}
	answer, known := o.answers[r.URL.EscapedPath()]
	if !known {
		answer = o.answers["/404"]
	}
	if answer.End == "hang" {
		told.Ended = "left"
	}
	defer func() { tell(told) }()
	if answer.Upgrade != nil && r.Header.Get("Upgrade") == *answer.Upgrade {
		told.Body = messageOf(echo(w, answer))
		return
	}
	if r.URL.Path == "/ack" {
		o.acked(told.Scenario) <- struct{}{}
	}
	o.reply(w, r, answer, told.Scenario)
}

func (o *origin) reply(w http.ResponseWriter, r *http.Request, answer answer, scenario string) {
	control := http.NewResponseController(w)
	for _, hint := range answer.Early {
		w.Header().Add(hint[0], bytesOf(hint[1]))
	}
	if answer.Early != nil {
		w.WriteHeader(http.StatusEarlyHints)
		clear(w.Header())
	}
	for _, header := range answer.Headers {
		w.Header()[header[0]] = append(w.Header()[header[0]], bytesOf(header[1]))
	}
	for _, trailer := range answer.Trailers {
		w.Header().Add("Trailer", trailer[0])
	}
	w.WriteHeader(answer.Status)
	body := numbered(answer.Size)
	if answer.Base64 != "" {
		body, _ = base64.StdEncoding.DecodeString(answer.Base64)
	}
	for event := 0; event == 0 || event < answer.Events; event++ {
		w.Write(body)
		if answer.Chunked || answer.End != "" || answer.Events > 0 {
			control.Flush()
		}
		if answer.Events > 0 {
			<-o.acked(scenario)
		}
	}
	for _, trailer := range answer.Trailers {
		w.Header().Add(trailer[0], bytesOf(trailer[1]))
	}
	switch answer.End {
	case "break":
		panic(http.ErrAbortHandler)
	case "hang":
		<-r.Context().Done()
	}
}

func (o *origin) acked(scenario string) chan struct{} {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.acks[scenario] == nil {
		o.acks[scenario] = make(chan struct{}, 64)
	}
	return o.acks[scenario]
}

// Takes the connection over and gives back what comes, until the client is done.
func echo(w http.ResponseWriter, answer answer) []byte {
	connection, both, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	head := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + *answer.Upgrade
	both.WriteString(head + "\r\n\r\n")
	both.Flush()
	return copied(both)
}

func copied(both *bufio.ReadWriter) []byte {
	all, piece := []byte{}, make([]byte, 4096)
	for {
		n, err := both.Read(piece)
		all = append(all, piece[:n]...)
		both.Write(piece[:n])
		both.Flush()
		if err != nil {
			return all
		}
	}
}
