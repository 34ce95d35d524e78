package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

func postgresConn(t *testing.T, s *Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), "postgres://"+PostgresUser+"@"+s.Addr+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) })
	return conn
}

func ask(t *testing.T, conn *pgx.Conn, question string) (answer string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), question).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return answer
}

func TestPostgresLosesNothing(t *testing.T) {
	s := Postgres(t, "shared_buffers=24MB")
	conn := postgresConn(t, s)
	for setting, want := range map[string]string{
		"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "24MB", "listen_addresses": "127.0.0.1",
	} {
		if got := ask(t, conn, "SHOW "+setting); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'here' AS word"); err != nil {
		t.Fatal(err)
	}
	// A client that stays does not hold up the end.
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, postgresConn(t, s), "SELECT word FROM kept"); got != "here" {
		t.Errorf("after a restart the table has %q", got)
	}
	pid := s.PID
	s.Stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after Stop process %d is there: %v", pid, err)
	}
}

func TestPostgresSaysWhatIsWrong(t *testing.T) {
	dir, err := os.MkdirTemp("", "walletd-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if _, err := StartPostgres(t.Context(), PostgresConfig{Dir: dir, Extra: []string{"shared_buffers=lots"}}); err == nil || !strings.Contains(err.Error(), "lots") {
		t.Errorf("a setting that is none: %v", err)
	}
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // who is not root runs PostgreSQL as himself
		if _, err := postgresUser(filepath.Join(closed, "data")); err == nil || !strings.Contains(err.Error(), "cannot enter "+closed) {
			t.Errorf("a directory that only root can enter: %v", err)
		}
	}
	if _, err := StartPostgres(t.Context(), PostgresConfig{}); err == nil || !strings.Contains(err.Error(), "Dir") {
		t.Errorf("no directory: %v", err)
	}
}
