package store_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/termed/termed/counter"
	"github.com/termed/termed/ledger"
	"github.com/termed/termed/store"
)

// Every field of an enrollment is saved and read again, by whatever writes it and whatever reads it: one without a
// column would come back empty.
func TestEveryColumnOfAnEnrollment(t *testing.T) {
	conform(t, func(t *testing.T, s *store.Store) {
		record(t, s, "e1", enrolled("s1"), 100)
		lease := claim(t, s, 100, 1)[0]

		// The second enrollment is new: everything about it is inserted.
		want := filled(t, 10)
		want.Number = 2
		want.OpenedAt = 5
		found := shipment("s1", "o2")
		found.Source = counter.Reconciled
		got, err := s.Record(t.Context(), lease, ledger.Step{
			Enrollment: lease.Enrollment,
			Next:       &want,
			Shipments:  []counter.Shipment{shipment("s1", "o1"), found, shipment("s1", "o3")},
			Notify:     ledger.Notify{Notified: []string{"o3"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		want.Placed = counter.Placed{Orders: 3, ByWebhook: 2, Unnotified: 2, LastAt: 7} // counted, not saved
		requireNonZero(t, reflect.ValueOf(want), "Enrollment")
		checkCurrent(t, s, "inserted by Record", want, got.Enrollment)

		// Each later save updates everything but why and since when shipments belong to it: facts move that.
		update := func(e counter.Enrollment) counter.Enrollment {
			e.Number = want.Number
			e.OpenedAt = want.OpenedAt
			e.OpenedBy = want.OpenedBy
			e.Placed = want.Placed
			return e
		}
		recorded := filled(t, 100)
		recorded.Number = 2
		recorded.OpenedAt = want.OpenedAt
		got, err = s.Record(t.Context(), lease, ledger.Step{Enrollment: recorded})
		if err != nil {
			t.Fatal(err)
		}
		checkCurrent(t, s, "updated by Record", update(recorded), got.Enrollment)

		for name, e := range map[string]counter.Enrollment{"filled": filled(t, 1000), "emptied": {}} {
			e.Number = 2
			sub := got
			sub.Enrollment = e
			if err := s.Finish(t.Context(), lease, ledger.Outcome{At: 110, Subscription: sub, Next: 110}); err != nil {
				t.Fatal(err)
			}
			lease = claim(t, s, 110, 1)[0]
			checkCurrent(t, s, name+" by Finish", update(e), lease.Enrollment)
		}
	})
}

// checkCurrent compares the current enrollment of s1 with what was read by its lease, by its id, and among all of them.
func checkCurrent(t *testing.T, s *store.Store, how string, want, leased counter.Enrollment) {
	t.Helper()
	if diff := cmp.Diff(want, leased); diff != "" {
		t.Errorf("%s: leased (-want +got):\n%s", how, diff)
	}
	sub, err := s.Subscription(t.Context(), "s1")
	if diff := cmp.Diff(want, sub.Enrollment); err != nil || diff != "" {
		t.Errorf("%s: Subscription: %v (-want +got):\n%s", how, err, diff)
	}
	all, err := s.Enrollments(t.Context(), "s1")
	if err != nil || len(all) != want.Number {
		t.Fatalf("%s: Enrollments = %+v, %v; want %d", how, all, err, want.Number)
	}
	if diff := cmp.Diff(want, all[want.Number-1]); diff != "" {
		t.Errorf("%s: Enrollments (-want +got):\n%s", how, diff)
	}
}

// filled is an enrollment with another value in every field, from a number on.
func filled(t *testing.T, from int) counter.Enrollment {
	t.Helper()
	var e counter.Enrollment
	fillValue(t, reflect.ValueOf(&e).Elem(), &from)
	requireNonZero(t, reflect.ValueOf(e), "Enrollment")
	return e
}

// fillValue sets a value, and what it consists of, to something that is not zero, and counts on.
func fillValue(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.String:
		v.SetString("é \"" + string(rune('a'+*n%26)) + "\"")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillValue(t, v.Index(i), n)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fillValue(t, key, n)
		fillValue(t, value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(t, v.Field(i), n)
		}
	default:
		t.Fatalf("this test cannot fill a %s", v.Type())
	}
}

// requireNonZero fails where a field is zero: it would not show that its column is missing.
func requireNonZero(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	if v.IsZero() {
		t.Fatalf("%s is zero: this test must set it", name)
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			requireNonZero(t, v.Field(i), name+"."+v.Type().Field(i).Name)
		}
	}
}
