package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/termed/termed/counter"
)

// column is a column of the enrollments table and the field that it is read into and saved from.
type column struct {
	name  string
	field any // a pointer
}

// enrollmentColumns is the one list of an enrollment's columns besides its key.
func enrollmentColumns(e *counter.Enrollment) []column {
	return []column{
		{"term", &e.Term},
		{"sku", &e.SKU},
		{"opened_at", &e.OpenedAt},
		{"opened_by", &e.OpenedBy},
		{"checkout_shipments", &e.CheckoutShipments},
		{"orders_due", &e.OrdersDue},
		{"adjustment", &e.Adjustment},
		{"counters_sent", asJSON{&e.CountersSent, len(e.CountersSent) == 0}},
		{"counter_confirmed", &e.CounterConfirmed},
		{"managed_keys", asJSON{&e.ManagedKeys, len(e.ManagedKeys) == 0}},
		{"state", (*string)(&e.State)},
		{"reason", &e.Reason},
		{"approval", (*string)(&e.Permission.Approval)},
		{"seen_running", (*flag)(&e.Permission.SeenRunning)},
		{"admitted_at", &e.Permission.AdmittedAt},
		{"withheld", &e.Permission.Withheld},
		{"cancel_requested_at", &e.CancelRequestedAt},
		{"canceled_by", &e.CanceledBy},
		{"closed_at", &e.ClosedAt},
		{"closed_as", (*string)(&e.ClosedAs)},
		{"last_shipment_notified", (*flag)(&e.LastShipmentNotified)},
		{"respelled_at", &e.RespelledAt},
	}
}

func names(columns []column) []string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = c.name
	}
	return all
}

func fields(columns []column) []any {
	all := make([]any, len(columns))
	for i, c := range columns {
		all[i] = c.field
	}
	return all
}

// valuesOf are what the fields hold, as the database takes them.
func valuesOf(columns []column) ([]any, error) {
	all := make([]any, len(columns))
	for i, c := range columns {
		value, err := driver.DefaultParameterConverter.ConvertValue(c.field)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		all[i] = value
	}
	return all, nil
}

// queryer is a pool or a transaction.
type queryer interface {
	sqlx.QueryerContext
	Rebind(query string) string
}

// saveEnrollment writes an enrollment, a new one or one that there is. From when on shipments belong to one that there
// is stays as it is: facts change that (setOpening), not the worker that read it earlier.
func saveEnrollment(tx *sqlx.Tx, subscription string, e counter.Enrollment) error {
	columns := enrollmentColumns(&e)
	values, err := valuesOf(columns)
	if err != nil {
		return err
	}
	all := names(columns)
	var updates []string
	for _, name := range all {
		if name != "opened_at" && name != "opened_by" {
			updates = append(updates, name+" = excluded."+name)
		}
	}
	query := fmt.Sprintf(`
		insert into enrollments (subscription, number, %s)
		values (?, ?%s)
		on conflict (subscription, number) do update set %s`,
		strings.Join(all, ", "), strings.Repeat(", ?", len(all)), strings.Join(updates, ", "))
	_, err = tx.Exec(tx.Rebind(query), append([]any{subscription, e.Number}, values...)...)
	return wrap("saving an enrollment", err)
}

// setOpening says from when on shipments belong to an enrollment. From its beginning, nothing is excluded by its
// product.
func setOpening(tx *sqlx.Tx, subscription string, number int, at int64) error {
	_, err := tx.Exec(tx.Rebind(`update enrollments set opened_at = ? where subscription = ? and number = ?`), at,
		subscription, number)
	if err != nil || at != 0 {
		return wrap("moving the beginning of an enrollment", err)
	}
	_, err = tx.Exec(tx.Rebind(`update shipments set excluded = '' where subscription = ? and excluded <> ''`),
		subscription)
	return wrap("including earlier shipments", err)
}

// enrollmentsOf reads all of a subscription's, the first one first, with the shipments counted.
func enrollmentsOf(ctx context.Context, q queryer, subscription string) ([]counter.Enrollment, error) {
	var none counter.Enrollment
	query := `select number, ` + strings.Join(names(enrollmentColumns(&none)), ", ") + `, ` + placedColumns + `
		from enrollments e
		where subscription = ?
		order by number`
	rows, err := q.QueryxContext(ctx, q.Rebind(query), subscription)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []counter.Enrollment
	for rows.Next() {
		var e counter.Enrollment
		targets := append([]any{&e.Number}, fields(enrollmentColumns(&e))...)
		if err := rows.Scan(append(targets, placedFields(&e)...)...); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// The counts are never stored: stored, they could be wrong.
const placedColumns = `
	(select count(*) from shipments where subscription = e.subscription and enrollment = e.number) as orders_placed,
	(select count(*) from shipments
	 where subscription = e.subscription and enrollment = e.number and source <> '` + counter.Reconciled +
	`') as placed_by_webhook,
	(select count(*) from shipments
	 where subscription = e.subscription and notified = 0 and enrollment between 1 and e.number) as unnotified,
	(select coalesce(max(placed_at), 0) from shipments
	 where subscription = e.subscription and enrollment between 1 and e.number) as last_placed`

func placedFields(e *counter.Enrollment) []any {
	return []any{&e.Placed.Orders, &e.Placed.ByWebhook, &e.Placed.Unnotified, &e.Placed.LastAt}
}

// assign works out again which enrollment each of a subscription's shipments belongs to, and says whether one moved.
func assign(tx *sqlx.Tx, subscription string) (moved bool, err error) {
	ctx := context.Background() // the transaction has a time limit of its own
	all, err := enrollmentsOf(ctx, tx, subscription)
	if err != nil {
		return false, err
	}
	recorded, err := shipmentsOf(ctx, tx, subscription)
	if err != nil {
		return false, err
	}
	before := map[string]counter.Shipment{}
	for _, s := range recorded {
		before[s.Order] = s
	}
	for _, s := range counter.Assign(all, recorded) {
		if before[s.Order] == s {
			continue
		}
		_, err := tx.Exec(tx.Rebind(
			`update shipments set enrollment = ?, excluded = ? where subscription = ? and order_id = ?`,
		),
			s.Enrollment, s.Excluded, subscription, s.Order)
		if err != nil {
			return moved, err
		}
		moved = true
	}
	return moved, nil
}

// flag is true or false as both databases keep it: 1 or 0.
type flag bool

// Value is for the database.
func (f flag) Value() (driver.Value, error) {
	if f {
		return int64(1), nil
	}
	return int64(0), nil
}

// Scan reads what Value wrote.
func (f *flag) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("%T is not a flag", value)
	}
	*f = n != 0
	return nil
}

// asJSON keeps a value as JSON, an empty one as "".
type asJSON struct {
	value any
	empty bool
}

// Value is for the database.
func (j asJSON) Value() (driver.Value, error) {
	if j.empty {
		return "", nil
	}
	text, err := json.Marshal(j.value)
	return string(text), err
}

// Scan reads what Value wrote.
func (j asJSON) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("%T is not JSON text", value)
	}
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), j.value)
}
