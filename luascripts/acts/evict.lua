-- evict: forgets the key records and the resolved reservations of its partition that are older than a cut-off (the keeper's).
-- row: cutoff_ms
-- outcome: Evicted; NotDue (beyond now, or not beyond the last cut-off)

acts[EVICT] = function(i)
  local cutoff = amount[i]

  -- Decide.
  if cutoff <= evicted or cutoff > now then return answer(i, NOT_DUE) end

  -- Apply. The records themselves go when their slice is dropped.
  happen(i)
  evicted = cutoff
  forget(partition, cutoff)
  return answer(i, EVICTED)
end
