-- The rival's tables and functions. Numbers of statuses are journal.Status's.

-- available never passes below least: −overdraft_limit, or −(2^53−1) of an issuance account.
-- Half of each page stays free, and no changing column is indexed: updates stay in their page (HOT).
CREATE TABLE accounts (
    handle          uuid PRIMARY KEY,
    available       int8 NOT NULL,
    version         int8 NOT NULL,
    least           int8 NOT NULL,
    overdraft_limit int8 NOT NULL,
    asset           int2 NOT NULL,
    flags           int2 NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.5);

CREATE TABLE account_details (
    handle     uuid PRIMARY KEY,
    created_ms int8 NOT NULL,
    details    bytea NOT NULL
);

-- One row a transfer, never changed: the journal, and the first outcome of each key (its id).
CREATE TABLE journal (
    seq     int8 NOT NULL,
    time_ms int8 NOT NULL,
    amount  int8 NOT NULL,
    detail  int8 NOT NULL,
    id      uuid PRIMARY KEY,
    payer   uuid NOT NULL,
    payee   uuid NOT NULL,
    ref     int4 NOT NULL,
    asset   int2 NOT NULL,
    status  int2 NOT NULL
);
CREATE SEQUENCE seqs;

-- Statements, where they are kept: an account's changes with the balance after each, by time, so that a balance of any moment
-- is one look-up.
CREATE TABLE entries (
    account uuid NOT NULL,
    time_ms int8 NOT NULL,
    version int8 NOT NULL,
    seq     int8 NOT NULL,
    amount  int8 NOT NULL,
    balance int8 NOT NULL,
    PRIMARY KEY (account, time_ms, version)
);

CREATE FUNCTION now_ms() RETURNS int8 LANGUAGE sql AS $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::int8 $$;

-- together moves a batch in which everything can be accepted: two statements, whatever its size. The gateway has summed
-- up, for each account, what the batch changes (delta), the lowest and highest that it comes to on the way (low, high),
-- in the batch's order, and how often it changes: where every account stays within its bounds at every step, each transfer
-- is accepted in its turn. Otherwise, or where a key has been seen, nothing happens, and the gateway asks in_order.
CREATE FUNCTION together(
    handles uuid[], deltas int8[], lows int8[], highs int8[], changes int8[], kinds int2[],
    ids uuid[], payers uuid[], payees uuid[], amounts int8[], refs int4[], assets int2[],
    OUT base int8, OUT at_ms int8
) LANGUAGE plpgsql AS $$
DECLARE
    touched int;
BEGIN
    PERFORM pg_advisory_xact_lock(1); -- batches of several gateways, one after the other
    at_ms := now_ms();
    UPDATE accounts a SET available = a.available + d.delta, version = a.version + d.changed
    FROM unnest(handles, deltas, lows, highs, changes, kinds) AS d(handle, delta, low, high, changed, kind)
    WHERE a.handle = d.handle AND a.asset = d.kind AND a.available + d.low >= a.least AND a.available + d.high <= 9007199254740991;
    GET DIAGNOSTICS touched = ROW_COUNT;
    IF touched < cardinality(handles) THEN
        RAISE EXCEPTION USING ERRCODE = 'WA001';
    END IF;
    base := nextval('seqs');
    PERFORM setval('seqs', base + cardinality(ids));
    INSERT INTO journal
    SELECT base + t.n, at_ms, t.amount, 0, t.id, t.payer, t.payee, t.ref, t.asset, 5
    FROM unnest(ids, payers, payees, amounts, refs, assets) WITH ORDINALITY AS t(id, payer, payee, amount, ref, asset, n);
END $$;

-- together_with_entries is together, and writes the statements: the accounts of all legs, two a transfer, with what is missing
-- from each to its account's balance and version after the batch.
CREATE FUNCTION together_with_entries(
    handles uuid[], deltas int8[], lows int8[], highs int8[], changes int8[], kinds int2[],
    ids uuid[], payers uuid[], payees uuid[], amounts int8[], refs int4[], assets int2[],
    leg_accounts uuid[], leg_amounts int8[], leg_balances int8[], leg_versions int8[], OUT base int8, OUT at_ms int8
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.base, t.at_ms INTO base, at_ms
    FROM together(handles, deltas, lows, highs, changes, kinds, ids, payers, payees, amounts, refs, assets) t;
    INSERT INTO entries
    SELECT l.account, at_ms, a.version - l.version, base + (l.n + 1) / 2, l.amount, a.available - l.balance
    FROM unnest(leg_accounts, leg_amounts, leg_balances, leg_versions) WITH ORDINALITY AS l(account, amount, balance, version, n)
    JOIN accounts a ON a.handle = l.account;
END $$;

-- one decides a single transfer, in the order of semantics section 1. status + 128: the first outcome of its key.
CREATE FUNCTION one(
    the_id uuid, the_payer uuid, the_payee uuid, the_amount int8, the_ref int4, the_asset int2, statements bool,
    OUT status int2, OUT detail int8, OUT seq int8, OUT at_ms int8
) LANGUAGE plpgsql AS $$
DECLARE
    a accounts;
    payer accounts;
    payee accounts;
    seen journal;
BEGIN
    detail := 0; seq := 0;
    FOR a IN SELECT * FROM accounts WHERE handle IN (the_payer, the_payee) ORDER BY handle FOR UPDATE LOOP
        IF a.handle = the_payer THEN payer := a; END IF;
        IF a.handle = the_payee THEN payee := a; END IF;
    END LOOP;
    at_ms := now_ms(); -- behind the locks: an account's time never goes back
    SELECT * INTO seen FROM journal WHERE id = the_id; -- here, too: a repeat beside us has committed
    IF FOUND THEN
        IF seen.payee <> the_payee THEN status := 11;
        ELSIF seen.amount <> the_amount THEN status := 12;
        ELSIF seen.asset <> the_asset THEN status := 13;
        ELSIF seen.ref <> the_ref THEN status := 17;
        ELSE status := seen.status + 128; detail := seen.detail; seq := seen.seq; at_ms := seen.time_ms;
        END IF;
        RETURN;
    END IF;
    IF the_payer = the_payee THEN status := 18;
    ELSIF payer.asset <> the_asset OR payee.asset <> the_asset THEN status := 19;
    ELSIF payer.handle IS NULL THEN status := 21;
    ELSIF payee.handle IS NULL THEN status := 24;
    ELSIF payer.available - the_amount < payer.least THEN
        IF payer.flags & 1 = 1 THEN status := 33; detail := 9007199254740991;
        ELSE status := 32; detail := least(the_amount - (payer.available - payer.least), 9007199254740991);
        END IF;
    ELSIF payee.available + the_amount > 9007199254740991 THEN status := 34;
    ELSE status := 5;
    END IF;
    IF status BETWEEN 18 AND 21 THEN -- not stored: the key stays usable
        RETURN;
    END IF;
    IF status = 5 THEN
        UPDATE accounts SET available = available - the_amount, version = version + 1 WHERE handle = the_payer;
        UPDATE accounts SET available = available + the_amount, version = version + 1 WHERE handle = the_payee;
    END IF;
    seq := nextval('seqs');
    INSERT INTO journal VALUES (seq, at_ms, the_amount, detail, the_id, the_payer, the_payee, the_ref, the_asset, status);
    IF statements AND status = 5 THEN
        INSERT INTO entries VALUES
            (the_payer, at_ms, payer.version + 1, seq, -the_amount, payer.available - the_amount),
            (the_payee, at_ms, payee.version + 1, seq, the_amount, payee.available + the_amount);
    END IF;
END $$;

-- in_order decides a batch in which something may be refused, or has been seen: it reads every account and key once, decides in
-- memory, one after the other, and writes once. payer_of and payee_of are places in handles. No id may be there twice.
CREATE FUNCTION in_order(
    handles uuid[], payer_of int4[], payee_of int4[],
    ids uuid[], payers uuid[], payees uuid[], amounts int8[], refs int4[], assets int2[], statements bool,
    OUT statuses int2[], OUT details int8[], OUT numbers int8[], OUT times int8[]
) LANGUAGE plpgsql AS $$
DECLARE
    has int8[]; floors int8[]; kinds int2[]; switches int2[]; versions int8[];
    after_payer int8[]; after_payee int8[]; version_payer int8[]; version_payee int8[];
    n int := cardinality(ids);
    p int; q int; x int8; k int2; s int2; spare int8;
    base int8; at_ms int8; seen record;
BEGIN
    PERFORM pg_advisory_xact_lock(1);
    at_ms := now_ms();
    SELECT array_agg(t.available), array_agg(t.least), array_agg(t.asset), array_agg(t.flags), array_agg(t.version)
    INTO has, floors, kinds, switches, versions
    FROM (SELECT a.* FROM unnest(handles) WITH ORDINALITY AS h(handle, n) LEFT JOIN accounts a USING (handle) ORDER BY h.n) t;
    statuses := array_fill(NULL::int2, ARRAY[n]); details := array_fill(0::int8, ARRAY[n]);
    numbers := array_fill(0::int8, ARRAY[n]); times := array_fill(at_ms, ARRAY[n]);
    after_payer := array_fill(NULL::int8, ARRAY[n]); after_payee := after_payer;
    version_payer := after_payer; version_payee := after_payer;
    FOR seen IN SELECT w.n, j.* FROM unnest(ids) WITH ORDINALITY AS w(id, n) JOIN journal j USING (id) LOOP
        p := seen.n;
        IF seen.payee <> payees[p] THEN s := 11;
        ELSIF seen.amount <> amounts[p] THEN s := 12;
        ELSIF seen.asset <> assets[p] THEN s := 13;
        ELSIF seen.ref <> refs[p] THEN s := 17;
        ELSE s := seen.status + 128; details[p] := seen.detail; numbers[p] := seen.seq; times[p] := seen.time_ms;
        END IF;
        statuses[p] := s;
    END LOOP;
    base := nextval('seqs');
    PERFORM setval('seqs', base + n);
    FOR i IN 1 .. n LOOP
        CONTINUE WHEN statuses[i] IS NOT NULL;
        p := payer_of[i]; q := payee_of[i]; x := amounts[i]; k := assets[i];
        IF p = q THEN s := 18;
        ELSIF kinds[p] <> k OR kinds[q] <> k THEN s := 19;
        ELSIF kinds[p] IS NULL THEN s := 21;
        ELSIF kinds[q] IS NULL THEN s := 24;
        ELSE
            spare := has[p] - floors[p];
            IF x > spare THEN
                IF switches[p] & 1 = 1 THEN s := 33; details[i] := 9007199254740991;
                ELSE s := 32; details[i] := least(x - spare, 9007199254740991);
                END IF;
            ELSIF has[q] + x > 9007199254740991 THEN s := 34;
            ELSE
                s := 5;
                has[p] := has[p] - x; has[q] := has[q] + x;
                versions[p] := versions[p] + 1; versions[q] := versions[q] + 1;
                IF statements THEN
                    after_payer[i] := has[p]; after_payee[i] := has[q];
                    version_payer[i] := versions[p]; version_payee[i] := versions[q];
                END IF;
            END IF;
        END IF;
        statuses[i] := s;
        IF s NOT BETWEEN 18 AND 21 THEN numbers[i] := base + i; END IF; -- those are not stored: the key stays usable
    END LOOP;
    UPDATE accounts a SET available = d.has, version = d.version
    FROM unnest(handles, has, versions) AS d(handle, has, version)
    WHERE a.handle = d.handle AND a.version <> d.version;
    INSERT INTO journal
    SELECT t.seq, at_ms, t.amount, t.detail, t.id, t.payer, t.payee, t.ref, t.asset, t.status
    FROM unnest(numbers, amounts, details, ids, payers, payees, refs, assets, statuses) AS t(seq, amount, detail, id, payer, payee, ref, asset, status)
    WHERE t.seq > base;
    IF statements THEN
        INSERT INTO entries
        SELECT t.payer, at_ms, t.version, t.seq, -t.amount, t.balance
        FROM unnest(payers, version_payer, numbers, amounts, after_payer) AS t(payer, version, seq, amount, balance) WHERE t.version IS NOT NULL
        UNION ALL
        SELECT t.payee, at_ms, t.version, t.seq, t.amount, t.balance
        FROM unnest(payees, version_payee, numbers, amounts, after_payee) AS t(payee, version, seq, amount, balance) WHERE t.version IS NOT NULL;
    END IF;
END $$;

-- one_by_one decides a batch in which an id is there twice.
CREATE FUNCTION one_by_one(
    ids uuid[], payers uuid[], payees uuid[], amounts int8[], refs int4[], assets int2[], statements bool,
    OUT statuses int2[], OUT details int8[], OUT numbers int8[], OUT times int8[]
) LANGUAGE plpgsql AS $$
DECLARE
    o record;
BEGIN
    PERFORM pg_advisory_xact_lock(1);
    FOR i IN 1 .. cardinality(ids) LOOP
        o := one(ids[i], payers[i], payees[i], amounts[i], refs[i], assets[i], statements);
        statuses[i] := o.status; details[i] := o.detail; numbers[i] := o.seq; times[i] := o.at_ms;
    END LOOP;
END $$;

-- open_accounts answers which of them are new.
CREATE FUNCTION open_accounts(
    handles uuid[], kinds int2[], switches int2[], limits int8[], texts bytea[], OUT opened bool[], OUT at_ms int8
) LANGUAGE plpgsql AS $$
BEGIN
    at_ms := now_ms();
    FOR i IN 1 .. cardinality(handles) LOOP
        INSERT INTO accounts VALUES (handles[i], 0, 1, CASE WHEN switches[i] & 1 = 1 THEN -9007199254740991 ELSE -limits[i] END, limits[i], kinds[i], switches[i])
        ON CONFLICT DO NOTHING;
        opened[i] := FOUND;
        IF FOUND THEN
            INSERT INTO account_details VALUES (handles[i], at_ms, texts[i]);
        END IF;
    END LOOP;
END $$;

-- audit names the first account whose balance or version is not what the journal says, or whose last entry is not where it
-- stands (where statements are kept), or the first asset whose sum is not 0.
CREATE FUNCTION audit(OUT accounts int8, OUT transfers int8, OUT wrong text) LANGUAGE plpgsql AS $$
BEGIN
    SELECT count(*) INTO accounts FROM accounts;
    SELECT count(*) INTO transfers FROM journal;
    SELECT 'account ' || a.handle || ' has ' || a.available || ' at version ' || a.version || ', the journal says ' || coalesce(j.sum, 0)
        || ' at version ' || 1 + coalesce(j.n, 0) INTO wrong
    FROM accounts a LEFT JOIN (
        SELECT handle, sum(amount) AS sum, count(*) AS n
        FROM (SELECT payer AS handle, -amount AS amount FROM journal WHERE status = 5
              UNION ALL SELECT payee, amount FROM journal WHERE status = 5) legs
        GROUP BY handle
    ) j ON j.handle = a.handle
    WHERE a.available <> coalesce(j.sum, 0) OR a.version <> 1 + coalesce(j.n, 0) OR a.available < a.least
    LIMIT 1;
    IF wrong IS NULL AND EXISTS (SELECT FROM entries) THEN
        SELECT 'account ' || a.handle || ' has ' || a.available || ' at version ' || a.version || ', its last entry says ' || coalesce(e.balance, 0)
            || ' at version ' || coalesce(e.version, 1) INTO wrong
        FROM accounts a LEFT JOIN LATERAL (
            SELECT balance, version FROM entries WHERE account = a.handle ORDER BY time_ms DESC, version DESC LIMIT 1
        ) e ON true
        WHERE (coalesce(e.balance, 0), coalesce(e.version, 1)) <> (a.available, a.version)
        LIMIT 1;
    END IF;
    IF wrong IS NULL THEN
        SELECT 'asset ' || asset || ' sums up to ' || sum(available) INTO wrong FROM accounts GROUP BY asset HAVING sum(available) <> 0 LIMIT 1;
    END IF;
END $$;
