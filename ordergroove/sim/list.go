package sim

import (
	"strconv"
	"strings"
)

const defaultPageSize = 10

// page answers a part of a list: by cursor with X-OG-API-VERSION: 2, else by page number.
func (s *Simulator) page(r *request, rows []any) answer {
	size := s.pageSize(r)
	byCursor := r.Header.Get("X-OG-API-VERSION") == "2"
	from := pageStart(r, byCursor, size)
	if from > len(rows) {
		return notFound()
	}
	to := min(len(rows), from+size)
	list := map[string]any{
		"next":     nil,
		"previous": nil,
		"results":  append([]any{}, rows[from:to]...),
	}
	if to < len(rows) {
		list["next"] = pageURL(r, byCursor, to, size)
	}
	if from > 0 {
		list["previous"] = pageURL(r, byCursor, max(0, from-size), size)
	}
	if !byCursor {
		list["count"] = len(rows)
	}
	return ok(list)
}

func (s *Simulator) pageSize(r *request) int {
	size := defaultPageSize
	if n, err := strconv.Atoi(r.URL.Query().Get("page_size")); err == nil && n > 0 {
		size = n
	}
	return min(size, s.o.PageSize)
}

// pageStart returns the offset of the page that a request asks for.
func pageStart(r *request, byCursor bool, size int) int {
	q := r.URL.Query()
	if byCursor {
		// The cursor is the offset, in base 36 so that no client is tempted to count it up.
		if n, err := strconv.ParseInt(strings.TrimPrefix(q.Get("cursor"), "c"), 36, 32); err == nil {
			return int(n)
		}
		return 0
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil && n > 1 {
		return (n - 1) * size
	}
	return 0
}

func pageURL(r *request, byCursor bool, offset, size int) string {
	q := r.URL.Query()
	if byCursor {
		q.Set("cursor", "c"+strconv.FormatInt(int64(offset), 36))
	} else {
		q.Set("page", strconv.Itoa(offset/size+1))
	}
	page := *r.URL
	page.Scheme = "http"
	page.Host = r.Host
	page.RawQuery = q.Encode()
	return page.String()
}
