#!/usr/bin/env bash
# Installs the real servers that walletd's tests, `walletd dev` and `make cluster` run on,
# PostgreSQL, with which `walletd bench rival` compares, what explores the models (spin,
# gcc), and a JDK, which compiles the example consumer of events, as far as they are missing,
# and says each thing that it does in one line.
#
#   install.sh all              redis, jdk, zookeeper, kafka, s3, postgres, spin and gcc
#   install.sh redis kafka      only these
#
# Redis, ZooKeeper, PostgreSQL, Java, Maven, Spin and GCC are Debian packages; Kafka's jars come by Maven from
# kafka/pom.xml into ${XDG_CACHE_HOME:-~/.cache}/walletd/kafka-<version>, and the S3 server
# (versitygw) is built by Go into walletd/versitygw-<version> beside it. What is there is not
# touched, and then nothing is said. Debian's redis-server may start a service of its own on
# port 6379, and postgresql on 5432: walletd leaves them alone and uses other ports and data.
set -euo pipefail

here=${BASH_SOURCE[0]%/*}
[ "$here" != "${BASH_SOURCE[0]}" ] || here=.
pom=$here/kafka/pom.xml
kafka_version=$(sed -n 's:.*<kafka\.version>\(.*\)</kafka\.version>.*:\1:p' "$pom")
kafka_jars=${XDG_CACHE_HOME:-$HOME/.cache}/walletd/kafka-$kafka_version
s3_version=$(sed -n 's/.*s3Version = "\([^"]*\)".*/\1/p' "$here/s3.go")
s3_dir=${XDG_CACHE_HOME:-$HOME/.cache}/walletd/versitygw-$s3_version
zookeeper_jar=/usr/share/java/zookeeper.jar

say() { echo "install: $*" >&2; }
fail() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# run COMMAND…: shows what it printed only when it fails.
run() {
  local log status=0
  log=$(mktemp)
  "$@" </dev/null >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    fail "failed (exit $status): $*"
  fi
  rm -f "$log"
}

apt_updated=

# apt WHAT PACKAGE: installs a Debian package.
apt() {
  local what=$1 package=$2 root=()
  has apt-get || fail "$what is missing and there is no apt-get here: install $what by hand (Debian calls the package $package)"
  if [ "$(id -u)" -ne 0 ]; then
    has sudo || fail "$what is missing: run as root 'apt-get install $package' (there is no sudo here)"
    root=(sudo)
  fi
  root+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
  if [ -z "$apt_updated" ]; then
    say "refreshing the list of Debian packages"
    run "${root[@]}" update
    apt_updated=yes
  fi
  say "installing $what (apt-get install $package)"
  run "${root[@]}" install --no-install-recommends "$package"
}

need_redis() { has redis-server || apt redis-server redis-server; }
in_java_home() { [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/$1" ]; }
need_java() { in_java_home java || has java || apt java default-jre-headless; }
need_jdk() { in_java_home javac || has javac || apt "a JDK" default-jdk-headless; }
need_zookeeper() {
  need_java
  [ -f "$zookeeper_jar" ] || apt zookeeper zookeeper
}

need_kafka() {
  need_java
  local jar jars=${WALLETD_KAFKA_LIBS:-$kafka_jars}
  for jar in "$jars"/kafka_*.jar; do
    [ ! -f "$jar" ] || return 0
  done
  [ -z "${WALLETD_KAFKA_LIBS:-}" ] || fail "WALLETD_KAFKA_LIBS names $jars, which has no kafka_*.jar: unset it or correct it"
  has mvn || apt maven maven
  say "fetching kafka $kafka_version with maven into $kafka_jars"
  mkdir -p "${kafka_jars%/*}"
  # Beside its final place: the rename makes it visible whole or not at all.
  unfinished=$(mktemp -d "$kafka_jars.XXXXXX")
  trap 'rm -rf "$unfinished"' EXIT
  run mvn -q -B -f "$pom" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$unfinished/jars"
  # -T: into its place, not into a directory that somebody else put there meanwhile.
  mv -T "$unfinished/jars" "$kafka_jars" 2>/dev/null || [ -f "$kafka_jars/kafka_2.13-$kafka_version.jar" ] ||
    fail "cannot put kafka's jars into $kafka_jars: remove what is there and run again"
}

need_s3() {
  [ ! -x "$s3_dir/versitygw" ] || return 0
  has go || fail "versitygw is missing and there is no go here: install Go by hand"
  say "building versitygw $s3_version with go into $s3_dir"
  mkdir -p "${s3_dir%/*}"
  unfinished=$(mktemp -d "$s3_dir.XXXXXX")
  trap 'rm -rf "$unfinished"' EXIT
  run env GOBIN="$unfinished" GOFLAGS= go install "github.com/versity/versitygw/cmd/versitygw@$s3_version"
  mv -T "$unfinished" "$s3_dir" 2>/dev/null || [ -x "$s3_dir/versitygw" ] ||
    fail "cannot put versitygw into $s3_dir: remove what is there and run again"
}

need_postgres() {
  local dir
  for dir in /usr/lib/postgresql/*/bin; do
    [ ! -x "$dir/postgres" ] || [ ! -x "$dir/initdb" ] || return 0
  done
  { has postgres && has initdb; } || apt postgres postgresql
}

need_gcc() {
  has gcc || apt gcc gcc
  [ -f /usr/include/stdio.h ] || apt "gcc's C library headers" libc6-dev
}

need_spin() { has spin || apt spin spin; }

[ $# -gt 0 ] || fail "usage: install.sh all | redis | jdk | zookeeper | kafka | s3 | postgres | spin | gcc …"
for server in "$@"; do
  case $server in
  all)
    need_redis
    need_jdk # a JRE is in it
    need_zookeeper
    need_kafka
    need_s3
    need_postgres
    need_spin
    need_gcc
    ;;
  redis | jdk | zookeeper | kafka | s3 | postgres | spin | gcc) "need_$server" ;;
  *) fail "unknown server '$server': all, redis, jdk, zookeeper, kafka, s3, postgres, spin or gcc" ;;
  esac
done
