-- Shared by every script; put in front of each of them.
--
-- KEYS[1] is the tagged prefix, such as {relayer}. Every other key begins with it, so all of them
-- live in one slot of a Redis Cluster, and the names that depend on data need not be listed.
-- ARGV[1] is the time in milliseconds, or empty: then the server's clock counts, the only one that
-- all replicas share.
--
-- Fields of a job's hash:
--   v version   r record   k kind   e '1' if ended   b build waited for   x why it is dead
--   f fence, grows with every claim          a claims in a row without a commit
--   u when the lease ends, 0 without one     w name of the last worker, for people
--   n what was asked for while it was leased: '' nothing, '-' out of the queue, else a time
-- A sorted set per kind holds when a job is next visible: delay, backoff and lease in one number.
--
-- What must be told: `marks` has each marked subject by the time of its first uncleared mark. How
-- often it was ever marked is in `mark-revs`, and stays there after a clear: if counting began anew,
-- somebody who read an old mark could clear a new one.

local P = KEYS[1] .. ':'
local rung, marked = false, false

-- Something that pages show is another now; see `Store.revision`.
local is_told = false
local function shown()
  if not is_told then redis.call('INCR', P .. 'revision') end
  is_told = true
end

local function clock()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local now = clock()

local function job_key(id) return P .. 'job:' .. id end
local function due_key(kind) return P .. 'due:' .. kind end

local function load(id)
  local got = redis.call('HMGET', job_key(id), 'v', 'k', 'e', 'b', 'x', 'f', 'u', 'n')
  if not got[1] then return nil end
  return {
    id = id, v = tonumber(got[1]), k = got[2], e = got[3], b = got[4], x = got[5],
    f = tonumber(got[6]), u = tonumber(got[7]), n = got[8],
  }
end

local function leased(job) return now < job.u end

-- A lease that ran out counts for nothing, even while nobody else has taken the job.
local function holds(job, fence) return job and leased(job) and job.f == tonumber(fence) end

-- The earlier of a time and of what was asked for during the lease.
local function earlier(at, asked)
  if asked == '' or asked == '-' then return at end
  return math.min(at, tonumber(asked))
end

local function enqueue(job, at)
  redis.call('ZADD', due_key(job.k), at, job.id)
  rung = true
end

-- Due now; while it is leased this is kept for the moment the lease is given back.
local function wake(id)
  local job = load(id)
  if not job then return end
  if leased(job) then
    if job.n ~= '-' then redis.call('HSET', job_key(id), 'n', earlier(now, job.n)) end
  elseif redis.call('ZSCORE', due_key(job.k), id) then
    redis.call('ZADD', due_key(job.k), 'LT', now, id)
    rung = true
  end
end

local function note(id, entry)
  shown()
  local at = redis.call('XADD', P .. 'audit', '*', 'e', entry)
  if id ~= '' then redis.call('RPUSH', P .. 'audit:' .. id, at) end
end

-- Whoever marks rings afterwards.
local function mark(subject)
  redis.call('ZADD', P .. 'marks', 'NX', now, subject)
  redis.call('HINCRBY', P .. 'mark-revs', subject, 1)
  marked = true
end

-- Wakes everybody who waits for work, or for something to tell. One entry in each stream is enough:
-- readers remember the last they saw.
local function ring()
  if rung then redis.call('XADD', P .. 'bell', 'MAXLEN', 1, '*', 'r', 1) end
  if marked then redis.call('XADD', P .. 'mark-bell', 'MAXLEN', 1, '*', 'r', 1) end
end

-- Where a bell stands, for those who look first and wait afterwards.
local function stands(bell)
  local last = redis.call('XREVRANGE', P .. bell, '+', '-', 'COUNT', 1)
  return last[1] and last[1][1] or '0'
end
