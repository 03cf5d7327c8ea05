package ordergroove

// OperationCount is the number of operations on a subscription itself, so that a test can tell whether it covers all.
var OperationCount = countOperations()

func countOperations() int {
	n := 0
	for _, o := range operations {
		if o.apply != nil {
			n++
		}
	}
	return n
}
