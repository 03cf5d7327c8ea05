package store

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/termed/termed/tracing"
)

// traced opens databases whose statements are spans of the traces that they are made in. Without a provider it opens
// them as they are.
type traced struct {
	provider trace.TracerProvider
}

func (t traced) open(c driver.Connector, system attribute.KeyValue) *sql.DB {
	if t.provider == nil {
		return sql.OpenDB(c)
	}
	return otelsql.OpenDB(c, t.options(system)...)
}

// options record statements as they are written here, with placeholders: never a value. What is asked outside a trace,
// such as whether anything is due, begins none.
func (t traced) options(system attribute.KeyValue) []otelsql.Option {
	return []otelsql.Option{
		otelsql.WithTracerProvider(t.provider),
		otelsql.WithAttributes(system),
		otelsql.WithSpanOptions(otelsql.SpanOptions{
			DisableErrSkip:       true,
			OmitConnResetSession: true,
			OmitConnectorConnect: true,
			OmitRows:             true,
			SpanFilter: func(ctx context.Context, _ otelsql.Method, _ string, _ []driver.NamedValue) bool {
				return tracing.InTrace(ctx)
			},
		}),
	}
}

// traceOf puts the context of a transaction into the trace of the first of its jobs that is in one: it is where the
// commit shows that all of them share.
func traceOf(ctx context.Context, batch []*job) context.Context {
	for _, j := range batch {
		if tracing.InTrace(j.ctx) {
			return trace.ContextWithSpanContext(ctx, trace.SpanContextFromContext(j.ctx))
		}
	}
	return ctx
}
