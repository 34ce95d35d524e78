package view

// cache keeps a bounded number of records over the store, and what the open batch has changed. Two generations: what is
// used again survives, the rest is forgotten when the younger one is full.
type cache[K comparable, V any] struct {
	max   int // of a generation
	young map[K]V
	old   map[K]V
	dirty map[K]V // changed since the last commit; never forgotten before it
}

func newCache[K comparable, V any](max int) *cache[K, V] {
	return &cache[K, V]{max: max, young: map[K]V{}, dirty: map[K]V{}}
}

func (c *cache[K, V]) get(k K) (v V, ok bool) {
	if v, ok = c.dirty[k]; ok {
		return v, true
	}
	if v, ok = c.young[k]; ok {
		return v, true
	}
	if v, ok = c.old[k]; ok {
		c.keep(k, v)
	}
	return v, ok
}

// keep remembers what the store holds.
func (c *cache[K, V]) keep(k K, v V) {
	if len(c.young) >= c.max {
		c.old, c.young = c.young, make(map[K]V, c.max)
	}
	c.young[k] = v
}

func (c *cache[K, V]) set(k K, v V) { c.dirty[k] = v }

// each calls fn for everything that changed.
func (c *cache[K, V]) each(fn func(K, V) error) error {
	for k, v := range c.dirty {
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

// committed says that the store now holds what changed.
func (c *cache[K, V]) committed() {
	for k, v := range c.dirty {
		c.keep(k, v) // an older value in old is never asked for again: young comes first, and then takes old's place
	}
	clear(c.dirty)
}

// dropped forgets what changed; what is kept is what the store holds.
func (c *cache[K, V]) dropped() { clear(c.dirty) }

// forget drops one record, changed or not.
func (c *cache[K, V]) forget(k K) {
	delete(c.dirty, k)
	delete(c.young, k)
	delete(c.old, k)
}
