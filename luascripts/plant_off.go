//go:build !planted

package luascripts

// plant changes nothing in this build (see journal/planted).
func plant(text string) string { return text }

// clientRetries is how often the Redis client sends a command again by itself: never. A repeat after a lost reply would
// run twice; repeats are the caller's, by key.
func clientRetries() int { return -1 }

// releaseFlags let acts that only release money run on a Redis that is full.
func releaseFlags() string { return "'allow-oom'" }
