package local

import (
	"os"
	"os/exec"
	"path/filepath"
)

// jvmFlags of every Java server here. On two cores the second-stage compiler of a few
// brokers eats both for minutes (TieredStopAtLevel=1), and a killed JVM would leave its
// performance data in the temporary directory (UsePerfData).
var jvmFlags = []string{
	"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true",
}

// findJava looks in $JAVA_HOME, then in $PATH.
func findJava() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if path, err := exec.LookPath(filepath.Join(home, "bin", "java")); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("java")
	if err != nil {
		return "", ErrMissing{"java", "run `make deps` or `apt-get install default-jre-headless`"}
	}
	return path, nil
}
