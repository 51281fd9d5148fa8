// The origin and the clients that Go's net/http makes, told what to do in lines of JSON: see
// tests/peers/support/makes. `go-makes origin` and `go-makes client` end with their input.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
)

// A header line: name and value.
type line [2]string

// A message is a body in short: its text as Latin-1 while it is short, else its length and hash.
type message struct {
	Text   *string `json:"text,omitempty"`
	Length int     `json:"length"`
	Hash   string  `json:"sha256"`
}

const mostText = 2048

var printing sync.Mutex

func main() {
	programs := map[string]func(*json.Decoder){"origin": serve, "client": ask}
	program := programs[strings.Join(os.Args[1:], " ")]
	if program == nil {
		fmt.Fprintln(os.Stderr, "say `go-makes origin` or `go-makes client`")
		os.Exit(2)
	}
	program(json.NewDecoder(bufio.NewReader(os.Stdin)))
}

// Prints one line of JSON.
func tell(told any) {
	text, err := json.Marshal(told)
	if err != nil {
		panic(err)
	}
	printing.Lock()
	defer printing.Unlock()
	os.Stdout.Write(append(text, '\n'))
}

// The lines of a header. net/http keeps no order among names, so neither does this.
func linesOf(header http.Header) []line {
	lines := []line{}
	for name, values := range header {
		for _, value := range values {
			lines = append(lines, line{name, latin1(value)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return strings.Compare(a[0], b[0]) })
	return lines
}

func messageOf(body []byte) message {
	sum := sha256.Sum256(body)
	told := message{Length: len(body), Hash: hex.EncodeToString(sum[:])}
	if len(body) <= mostText {
		text := latin1(string(body))
		told.Text = &text
	}
	return told
}

// A body of a length that no part of it repeats: numbers of seven digits, each on a line.
func numbered(length int) []byte {
	body := bytes.NewBuffer(make([]byte, 0, length+8))
	for number := 0; body.Len() < length; number++ {
		fmt.Fprintf(body, "%07d\n", number)
	}
	return body.Bytes()[:length]
}

// Bytes as text in which every byte is one character.
func latin1(text string) string {
	runes := make([]rune, 0, len(text))
	for _, b := range []byte(text) {
		runes = append(runes, rune(b))
	}
	return string(runes)
}

// The bytes of such a text.
func bytesOf(text string) string {
	raw := make([]byte, 0, len(text))
	for _, r := range text {
		raw = append(raw, byte(r))
	}
	return string(raw)
}
