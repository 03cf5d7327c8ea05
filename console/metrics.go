package console

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metric is one figure of the shop, asked for whenever somebody looks.
type Metric struct {
	Name  string // in the manner of Prometheus: termed_backlog_events
	Help  string
	Value func(ctx context.Context) (float64, error) // with an error it is left out
}

// metrics answers the figures, with those of the process, in Prometheus' text format.
func metrics(all []Metric) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(figures(all), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// figures asks each metric at each look, so that none is kept that could be stale.
type figures []Metric

// Describe describes nothing: the metrics are whatever Collect sends.
func (figures) Describe(chan<- *prometheus.Desc) {}

// Collect asks for each figure within a few seconds altogether.
func (f figures) Collect(into chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	for _, m := range f {
		if value, err := m.Value(ctx); err == nil {
			into <- prometheus.MustNewConstMetric(prometheus.NewDesc(m.Name, m.Help, nil, nil), prometheus.GaugeValue, value)
		}
	}
}
