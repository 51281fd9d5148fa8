// grpc-go as server and client, told what to do by lines of JSON on standard input; the steps are
// those of support/rpc/__init__.py. This file holds what both ends share.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
)

const service = "peers.v1.Steps"

// step is a name and its arguments.
type step []any

func (s step) name() string  { return s[0].(string) }
func (s step) int(i int) int { return int(s[i].(float64)) }

// order is one line of the input.
type order struct {
	Do        string
	Ask       int
	Port      int
	Graceful  bool
	Target    string
	Authority string
	Options   options
	Kind      string
	Method    string
	Metadata  [][2]string
	Timeout   *float64
	Steps     []step
	Call      json.RawMessage
}

type options struct {
	Keepalive int
	Gzip      bool
}

var output sync.Mutex

func say(line map[string]any) {
	text, err := json.Marshal(line)
	must(err)
	output.Lock()
	defer output.Unlock()
	fmt.Println(string(text))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func message(index, size int) []byte {
	data := make([]byte, size)
	unit := binary.BigEndian.AppendUint32(nil, uint32(index))
	for done := copy(data, unit); done > 0 && done < size; done *= 2 {
		copy(data[done:], data[:done])
	}
	return data
}

func fromJSON(pairs [][2]string) metadata.MD {
	md := metadata.MD{}
	for _, pair := range pairs {
		value := pair[1]
		if strings.HasSuffix(pair[0], "-bin") {
			raw, err := hex.DecodeString(value)
			must(err)
			value = string(raw)
		}
		md.Append(pair[0], value)
	}
	return md
}

func toJSON(md metadata.MD) [][2]string {
	pairs := [][2]string{}
	for key, values := range md {
		for _, value := range values {
			if strings.HasSuffix(key, "-bin") {
				value = hex.EncodeToString([]byte(value))
			}
			pairs = append(pairs, [2]string{key, value})
		}
	}
	sort.SliceStable(pairs, func(i, j int) bool { return pairs[i][0] < pairs[j][0] })
	return pairs
}

// digest is what was received.
type digest struct {
	lock         sync.Mutex
	count, bytes int
	hash         hash.Hash
}

func (d *digest) add(data []byte) {
	d.lock.Lock()
	defer d.lock.Unlock()
	d.count++
	d.bytes += len(data)
	d.hash.Write(binary.BigEndian.AppendUint32(nil, uint32(len(data))))
	d.hash.Write(data)
}

func (d *digest) report() map[string]any {
	d.lock.Lock()
	defer d.lock.Unlock()
	sum := hex.EncodeToString(d.hash.Sum(nil))
	return map[string]any{"count": d.count, "bytes": d.bytes, "sha256": sum}
}

// call is one call, at either end.
type call struct {
	sent     atomic.Int64
	received digest
	released chan struct{}
}

func newCall(key string) *call {
	one := &call{received: digest{hash: sha256.New()}, released: make(chan struct{})}
	calls.Store(key, one)
	return one
}

// calls has those at the server by their id, and those at the client by the number of the order.
var calls sync.Map

func find(key json.RawMessage) *call {
	one, _ := calls.Load(strings.Trim(string(key), `"`))
	return one.(*call)
}

// raw is a codec of messages that are plain bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte{}, data...)
	return nil
}

var _ encoding.Codec = raw{}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var o order
		must(json.Unmarshal(lines.Bytes(), &o))
		switch o.Do {
		case "serve":
			serve(o)
		case "stop":
			stop(o)
		case "call":
			begin(o)
		case "go":
			close(find(o.Call).released)
		case "progress":
			say(map[string]any{"ask": o.Ask, "sent": find(o.Call).sent.Load()})
		case "hang_up":
			hangUp(o)
		default:
			panic(o.Do)
		}
	}
}
