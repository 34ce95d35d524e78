-- check: Try of a payee, read-only. Nothing changes, nothing is journaled.
-- row: account, asset, amount (minor units)
-- outcome: OK, AssetMismatch, PayeeClosed, PayeeFrozen, BalanceOverflow, each with the account's status seq as detail; PayeeNotFound

acts[CHECK] = function(i)
  local a = account[i]

  -- Decide.
  local status = check(a, asset[i], amount[i])

  -- Apply: nothing but the answer.
  return answer(i, status, available[a] and status_seq[a])
end
