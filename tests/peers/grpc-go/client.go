package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	rpc "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var channels = map[string]*grpc.ClientConn{}

// channel is the channel to a target; there is one.
func channel(o order) *grpc.ClientConn {
	name, err := json.Marshal([]any{o.Target, o.Authority, o.Options})
	must(err)
	if found, ok := channels[string(name)]; ok {
		return found
	}
	calling := []grpc.CallOption{
		grpc.ForceCodec(raw{}),
		grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32),
	}
	if o.Options.Gzip {
		calling = append(calling, grpc.UseCompressor("gzip"))
	}
	settings := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority(o.Authority),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(calling...),
	}
	if o.Options.Keepalive > 0 {
		settings = append(settings, grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time:                time.Duration(o.Options.Keepalive) * time.Millisecond,
			PermitWithoutStream: true,
		}))
	}
	made, err := grpc.NewClient("passthrough:///"+o.Target, settings...)
	must(err)
	channels[string(name)] = made
	return made
}

func hangUp(o order) {
	for name, one := range channels {
		must(one.Close())
		delete(channels, name)
	}
	say(map[string]any{"ask": o.Ask})
}

// calling is a call at the client.
type calling struct {
	*call
	order
	cancel   context.CancelFunc
	isUp     bool
	isClosed bool
	stream   grpc.ClientStream
	initial  metadata.MD
	trailing metadata.MD
	err      error
}

func begin(o order) {
	c := &calling{call: newCall(strconv.Itoa(o.Ask)), order: o}
	ctx := metadata.NewOutgoingContext(context.Background(), fromJSON(o.Metadata))
	if o.Timeout != nil {
		ctx, c.cancel = context.WithTimeout(ctx, time.Duration(*o.Timeout*float64(time.Second)))
	} else {
		ctx, c.cancel = context.WithCancel(ctx)
	}
	path := o.Method
	if !strings.Contains(path, "/") {
		path = "/" + service + "/" + path
	}
	to := channel(o)
	if o.Kind == "unary" {
		go c.unary(ctx, to, path)
	} else {
		go c.streaming(ctx, to, path)
	}
}

func (c *calling) unary(ctx context.Context, to *grpc.ClientConn, path string) {
	answered := make(chan []byte, 1)
	go func() {
		request, response := message(0, c.size()), []byte{}
		c.err = to.Invoke(ctx, path, &request, &response, grpc.Header(&c.initial), grpc.Trailer(&c.trailing))
		answered <- response
	}()
	for _, step := range c.order.Steps {
		switch step.name() {
		case "wait":
			<-c.released
		case "cancel":
			c.cancel()
		case "tell":
			say(map[string]any{"told": c.Ask})
		}
	}
	if response := <-answered; c.err == nil {
		c.received.add(response)
	}
	c.report()
}

// size is that of the one request of a method that takes one.
func (c *calling) size() int {
	for _, step := range c.order.Steps {
		if step.name() == "send" {
			return step.int(2)
		}
	}
	return 0
}

func (c *calling) streaming(ctx context.Context, to *grpc.ClientConn, path string) {
	c.isUp = c.Kind != "down"
	desc := &grpc.StreamDesc{ClientStreams: c.isUp, ServerStreams: c.Kind != "up"}
	stream, err := to.NewStream(ctx, desc, path)
	if c.err = err; err != nil {
		c.report()
		return
	}
	c.stream = stream
	if !c.isUp {
		request := message(0, c.size())
		// That it fails is told by what is received.
		_ = stream.SendMsg(&request)
		c.close()
	}
	for _, step := range c.order.Steps {
		if c.err == nil {
			c.step(step)
		}
	}
	c.close()
	for c.err == nil {
		c.receive()
	}
	if c.err == io.EOF {
		c.err = nil
	}
	c.initial, _ = stream.Header()
	c.trailing = stream.Trailer()
	c.report()
}

func (c *calling) step(step step) {
	switch step.name() {
	case "send":
		for i := 0; c.isUp && i < step.int(1) && c.give(step.int(2)); i++ {
		}
	case "ping":
		for i := 0; i < step.int(1) && c.err == nil; i++ {
			c.give(step.int(2))
			c.receive()
		}
	case "recv":
		for i := 0; i < step.int(1) && c.err == nil; i++ {
			c.receive()
		}
	case "drain":
		for c.err == nil {
			c.receive()
		}
	case "close":
		c.close()
	case "tell":
		say(map[string]any{"told": c.Ask})
	case "wait":
		<-c.released
	case "cancel":
		c.isClosed = true
		c.cancel()
	default:
		panic(step.name())
	}
}

// give sends a message; whether the call goes on. How it ended is told by what is received.
func (c *calling) give(size int) bool {
	data := message(int(c.sent.Load()), size)
	c.sent.Add(1)
	return c.stream.SendMsg(&data) == nil
}

func (c *calling) receive() {
	var data []byte
	if c.err = c.stream.RecvMsg(&data); c.err == nil {
		c.received.add(data)
		// A stream of one response ends with it.
		if c.Kind == "up" {
			c.err = io.EOF
		}
	}
}

func (c *calling) close() {
	if !c.isClosed {
		c.isClosed = true
		_ = c.stream.CloseSend()
	}
}

func (c *calling) report() {
	full := rpc.Convert(c.err)
	// A text that is no UTF-8 has no encoding.
	encoded, _ := proto.Marshal(full.Proto())
	say(map[string]any{
		"ask": c.Ask, "code": int(full.Code()), "message": full.Message(),
		"details": hex.EncodeToString(encoded),
		"initial": toJSON(c.initial), "trailing": toJSON(c.trailing),
		"received": c.received.report(),
	})
	c.cancel()
}
