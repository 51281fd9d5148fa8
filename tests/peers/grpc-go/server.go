package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	rpc "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const details = "grpc-status-details-bin"

var servers = map[int]*grpc.Server{}

func serve(o order) {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", o.Port))
	must(err)
	server := grpc.NewServer(
		grpc.ForceServerCodec(raw{}),
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: time.Millisecond, PermitWithoutStream: true,
		}),
	)
	stream := func(name string, up, down bool) grpc.StreamDesc {
		handler := func(_ any, s grpc.ServerStream) error { return serveStream(s, up) }
		return grpc.StreamDesc{StreamName: name, Handler: handler, ClientStreams: up, ServerStreams: down}
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: serveUnary}},
		Streams: []grpc.StreamDesc{
			stream("Up", true, false), stream("Down", false, true), stream("Both", true, true),
		},
	}, nil)
	servers[o.Port] = server
	go server.Serve(listener)
	say(map[string]any{"ask": o.Ask})
}

// stop takes no more calls, and ends those that are open unless it is graceful, which takes until
// they have ended: that it has begun is known from its listener.
func stop(o order) {
	server := servers[o.Port]
	delete(servers, o.Port)
	if !o.Graceful {
		server.Stop()
		say(map[string]any{"ask": o.Ask})
		return
	}
	go server.GracefulStop()
	for {
		probe, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", o.Port))
		if err != nil {
			break
		}
		probe.Close()
	}
	say(map[string]any{"ask": o.Ask})
}

// served is a call at the server.
type served struct {
	*call
	id      string
	ctx     context.Context
	steps   []step
	timeout *float64
	recv    func() ([]byte, error)
	send    func([]byte) error
	initial func(metadata.MD) error
	trailer func(metadata.MD)
	// isEnded is set when the steps have said how the call ends.
	isEnded bool
}

func newServed(ctx context.Context) *served {
	md, _ := metadata.FromIncomingContext(ctx)
	id := md.Get("call-id")[0]
	s := &served{call: newCall(id), id: id, ctx: ctx}
	must(json.Unmarshal([]byte(md.Get("steps-bin")[0]), &s.steps))
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline).Seconds()
		s.timeout = &left
	}
	return s
}

// end reports, when the steps have been taken or have failed.
func (s *served) end(err error) error {
	// What a server ends with itself is no cancellation, nor is the end of the messages.
	cancelled := err != nil && err != io.EOF && !s.isEnded
	md, _ := metadata.FromIncomingContext(s.ctx)
	say(map[string]any{
		"call": s.id, "metadata": toJSON(md), "timeout": s.timeout,
		"received": s.received.report(), "cancelled": cancelled,
	})
	return err
}

func (s *served) run() error {
	for _, step := range s.steps {
		if err := s.step(step); err != nil {
			return err
		}
	}
	return nil
}

func (s *served) step(step step) error {
	switch step.name() {
	case "send":
		for range step.int(1) {
			if err := s.give(message(int(s.sent.Load()), step.int(2))); err != nil {
				return err
			}
		}
	case "ping":
		for range step.int(1) {
			data, err := s.take()
			if err != nil {
				return err
			}
			if err := s.give(data); err != nil {
				return err
			}
		}
	case "recv":
		for range step.int(1) {
			if _, err := s.take(); err != nil {
				return err
			}
		}
	case "drain":
		for {
			if _, err := s.take(); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
		}
	case "initial":
		return s.initial(fromJSON(pairs(step[1])))
	case "compress":
		return grpc.SetSendCompressor(s.ctx, "gzip")
	case "tell":
		say(map[string]any{"told": s.id})
	case "wait":
		select {
		case <-s.released:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	case "hold":
		<-s.ctx.Done()
		return s.ctx.Err()
	case "end":
		return s.status(step.int(1), step[2].(string), fromJSON(pairs(step[3])))
	default:
		panic(step.name())
	}
	return nil
}

func (s *served) take() ([]byte, error) {
	data, err := s.recv()
	if err == nil {
		s.received.add(data)
	}
	return data, err
}

func (s *served) give(data []byte) error {
	s.sent.Add(1)
	return s.send(data)
}

// status ends with a status; its details are those of the trailing metadata.
func (s *served) status(code int, text string, trailing metadata.MD) error {
	s.isEnded = true
	full := &status.Status{}
	if found := trailing.Get(details); len(found) > 0 {
		must(proto.Unmarshal([]byte(found[0]), full))
		trailing.Delete(details)
	}
	s.trailer(trailing)
	full.Code, full.Message = int32(code), text
	if code == int(codes.OK) {
		return nil
	}
	return rpc.FromProto(full).Err()
}

func pairs(value any) [][2]string {
	found := [][2]string{}
	for _, pair := range value.([]any) {
		one := pair.([]any)
		found = append(found, [2]string{one[0].(string), one[1].(string)})
	}
	return found
}

func serveUnary(
	_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
) (any, error) {
	s := newServed(ctx)
	var request []byte
	if err := decode(&request); err != nil {
		return nil, s.end(err)
	}
	answer := []byte{}
	isTaken := false
	s.recv = func() ([]byte, error) {
		if isTaken {
			return nil, io.EOF
		}
		isTaken = true
		return request, nil
	}
	s.send = func(data []byte) error { answer = data; return nil }
	s.initial = func(md metadata.MD) error { return grpc.SendHeader(ctx, md) }
	s.trailer = func(md metadata.MD) { must(grpc.SetTrailer(ctx, md)) }
	if err := s.end(s.run()); err != nil {
		return nil, err
	}
	return &answer, nil
}

func serveStream(stream grpc.ServerStream, up bool) error {
	s := newServed(stream.Context())
	s.recv = func() ([]byte, error) {
		var data []byte
		err := stream.RecvMsg(&data)
		return data, err
	}
	s.send = func(data []byte) error { return stream.SendMsg(&data) }
	s.initial = stream.SendHeader
	s.trailer = stream.SetTrailer
	return s.end(s.run())
}
