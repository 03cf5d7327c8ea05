package console

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metric is one gauge or counter with its value at the time of a scrape.
type Metric struct {
	Name    string // as Prometheus names it, for example termed_backlog_events
	Help    string
	Labels  map[string]string // tell metrics of one name apart; default none
	Counter bool              // it only ever grows; default a gauge
	Value   float64
}

func (m Metric) valueType() prometheus.ValueType {
	if m.Counter {
		return prometheus.CounterValue
	}
	return prometheus.GaugeValue
}

// metrics serves the metrics, and those of the process, in Prometheus' text format.
func metrics(read func(context.Context) ([]Metric, error), log *slog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collector{read, log},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// collector reads all metrics at each scrape, so that no value can be stale.
type collector struct {
	read func(context.Context) ([]Metric, error)
	log  *slog.Logger
}

// Describe sends nothing, which makes the collector an unchecked one.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect reads all metrics, with one timeout for all of them. What cannot be read is missing.
func (c collector) Collect(out chan<- prometheus.Metric) {
	if c.read == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	all, err := c.read(ctx)
	if err != nil {
		c.log.Warn("some metrics could not be read", "error", err)
	}
	for _, m := range all {
		description := prometheus.NewDesc(m.Name, m.Help, nil, m.Labels)
		out <- prometheus.MustNewConstMetric(description, m.valueType(), m.Value)
	}
}
