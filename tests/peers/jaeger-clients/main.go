// A program that still carries Jaeger's client for Go: it sends one trace to an agent, and prints the
// ids of its spans by their names: `jaeger-clients AGENT_PORT SAMPLING_PORT`. With a port for sampling
// it asks there first, and prints the probability that it was told.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/opentracing/opentracing-go"
	"github.com/opentracing/opentracing-go/ext"
	"github.com/uber/jaeger-client-go"
)

const host = "127.0.0.1:"

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// recorder notes the ids of what it starts.
type recorder struct {
	tracer opentracing.Tracer
	ids    map[string]string
	trace  string
}

func (r *recorder) start(name string, options ...opentracing.StartSpanOption) opentracing.Span {
	span := r.tracer.StartSpan(name, options...)
	context := span.Context().(jaeger.SpanContext)
	r.ids[name] = fmt.Sprintf("%016x", uint64(context.SpanID()))
	id := context.TraceID()
	r.trace = fmt.Sprintf("%016x%016x", id.High, id.Low)
	return span
}

func record(r *recorder) {
	server := r.start("GET /cart", ext.SpanKindRPCServer)
	server.SetTag("text", "grüße ☃")
	server.SetTag("yes", true)
	server.SetTag("whole", int64(-7))
	server.SetTag("real", 0.25)
	server.SetTag("bytes", []byte{0, 255})

	price := r.start("price", opentracing.ChildOf(server.Context()))
	ext.Error.Set(price, true)
	price.LogKV("event", "cache.miss", "key", "cart:7", "tries", 2)
	price.LogKV("message", "no price")
	price.Finish()

	send := r.start("send", opentracing.ChildOf(server.Context()), ext.SpanKindProducer)
	send.Finish()
	r.start("take", opentracing.FollowsFrom(send.Context()), ext.SpanKindConsumer).Finish()

	elsewhere := jaeger.NewSpanContext(jaeger.TraceID{High: 1, Low: 0xabc}, 0xdef, 0, true, nil)
	both := []opentracing.StartSpanOption{
		opentracing.ChildOf(server.Context()),
		opentracing.FollowsFrom(elsewhere),
	}
	r.start("batch", both...).Finish()
	server.Finish()
}

func sampler(port string) (jaeger.Sampler, any) {
	if port == "" {
		return jaeger.NewConstSampler(true), nil
	}
	url := fmt.Sprintf("http://%s%s/sampling", host, port)
	remote := jaeger.NewRemotelyControlledSampler(
		"shop",
		jaeger.SamplerOptions.SamplingServerURL(url),
		jaeger.SamplerOptions.InitialSampler(jaeger.NewConstSampler(false)),
	)
	remote.UpdateSampler()
	told, isRatio := remote.Sampler().(*jaeger.ProbabilisticSampler)
	if !isRatio {
		return remote, nil
	}
	return remote, told.SamplingRate()
}

func main() {
	agent, port := os.Args[1], ""
	if len(os.Args) > 2 {
		port = os.Args[2]
	}
	transport, err := jaeger.NewUDPTransport(host+agent, 0)
	must(err)
	sampled, rate := sampler(port)
	tracer, closer := jaeger.NewTracer(
		"shop",
		sampled,
		jaeger.NewRemoteReporter(transport),
		jaeger.TracerOptions.Gen128Bit(true),
		jaeger.TracerOptions.Tag("region", "north"),
	)
	r := &recorder{tracer: tracer, ids: map[string]string{}}
	record(r)
	must(closer.Close())
	told := map[string]any{"trace": r.trace, "spans": r.ids, "rate": rate}
	must(json.NewEncoder(os.Stdout).Encode(told))
}
