package schedule

import "fmt"

// String says in words what an action does, without an address or a payment method.
func (a Action) String() string {
	switch a.Type {
	case SkipOrder:
		return "skip it"
	case ChangeDate:
		if input, err := Decode[Move](a); err == nil {
			return "move it to " + input.NewDate
		}
	case UpdateShipping:
		return "send it to another address"
	case UpdatePaymentMethod:
		return "charge it to another payment method"
	case UpdateProducts:
		if input, err := Decode[Products](a); err == nil {
			return productsText(input)
		}
	case ApplyDiscount:
		if input, err := Decode[Discount](a); err == nil {
			return discountText(input)
		}
	}
	return string(a.Type)
}

func productsText(input Products) string {
	text := ""
	add := func(format string, args ...any) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf(format, args...)
	}
	for _, line := range input.Lines {
		if line.Product != "" {
			add("product %s", line.Product)
		}
		if line.Quantity != 0 {
			add("quantity %d", line.Quantity)
		}
		if line.Interval != nil {
			add("next order after %d × %s", line.Interval.Count, line.Interval.Unit)
		}
		if line.NextBillingDate != "" {
			add("on %s", line.NextBillingDate)
		}
	}
	return text
}

func discountText(d Discount) string {
	switch {
	case d.Source == "code":
		return "discount code " + d.Code
	case d.IsShipping():
		return "free shipping"
	case d.Type == "percentage":
		return fmt.Sprintf("%s %% off", d.Value)
	}
	return fmt.Sprintf("%s off", d.Value)
}
