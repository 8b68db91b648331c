/**
 * Counters of the shared cache: a group of its own within a worker's block, from `REDIS` on
 * (`counters.ts`). Offsets here are relative to that.
 */

/** What became of a look-up in Redis. */
export const REDIS_RESULTS = [
  'hit',
  'miss',
  'rejected',
  'timeout',
  'unavailable',
  'overtaken',
] as const
export const REDIS_HIT = 0
export const REDIS_MISS = 1
/** A value was there and something was wrong with it: as good as a miss. */
export const REDIS_REJECTED = 2
/** No reply within `redis.timeoutMs`. */
export const REDIS_TIMEOUT = 3
/** Not asked: not connected, silent, or too much on its way already. */
export const REDIS_UNAVAILABLE = 4
/** The upstream, asked besides, answered first. */
export const REDIS_OVERTAKEN = 5

/** Why a value was rejected. */
export const REDIS_REJECTIONS = [
  'size',
  'version',
  'seal',
  'layout',
  'question',
  'expiry',
  'answer',
  'verdict',
] as const
/** Shorter or longer than any value that we write. */
export const REJECTED_SIZE = 0
export const REJECTED_VERSION = 1
/** Not sealed under our secret, changed since, or moved from another key. */
export const REJECTED_SEAL = 2
/** Sealed, and its parts do not fit into it. */
export const REJECTED_LAYOUT = 3
/** It answers another question. */
export const REJECTED_QUESTION = 4
/** Expired, not a number, or further away than its own TTLs allow. */
export const REJECTED_EXPIRY = 5
/** Not a sound answer, or its TTLs and names are not those that were stored with it. */
export const REJECTED_ANSWER = 6
/** Under the same policy this box decides otherwise. */
export const REJECTED_VERDICT = 7

/** What became of a write. */
export const REDIS_WRITES = ['stored', 'failed', 'dropped'] as const
export const WRITE_STORED = 0
/** Redis refused it, or the connection went. */
export const WRITE_FAILED = 1
/** Not sent: not connected, silent, too large, or too much on its way already. */
export const WRITE_DROPPED = 2

/** What Redis or the connection said no with; the first word of its error. */
export const REDIS_ERRORS = [
  'connection',
  'silence',
  'auth',
  'permission',
  'loading',
  'memory',
  'readonly',
  'wrongtype',
  'cluster',
  'flood',
  'other',
] as const
export const ERROR_CONNECTION = 0
/** A batch of look-ups had no reply within `redis.timeoutMs`. */
export const ERROR_SILENCE = 1
export const ERROR_AUTH = 2
export const ERROR_PERMISSION = 3
export const ERROR_LOADING = 4
export const ERROR_MEMORY = 5
export const ERROR_READONLY = 6
export const ERROR_WRONGTYPE = 7
export const ERROR_CLUSTER = 8
/** More octets than any honest reply has. */
export const ERROR_FLOOD = 9
export const ERROR_OTHER = 10

/** Upper bounds of a look-up's time in milliseconds; one more slot takes what is above. */
export const REDIS_BOUNDS_MS = [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000] as const

export const REDIS_LOOKUPS = 0
export const REDIS_REJECTED_VALUES = REDIS_LOOKUPS + REDIS_RESULTS.length
export const REDIS_WRITTEN = REDIS_REJECTED_VALUES + REDIS_REJECTIONS.length
export const REDIS_FAILURES = REDIS_WRITTEN + REDIS_WRITES.length
export const REDIS_BUCKETS = REDIS_FAILURES + REDIS_ERRORS.length
export const REDIS_SUM_MS = REDIS_BUCKETS + REDIS_BOUNDS_MS.length + 1
/** 1 while this worker's connection answers. */
export const REDIS_UP = REDIS_SUM_MS + 1
export const REDIS_CONNECTIONS = REDIS_UP + 1
/** Look-ups whose upstream query started before Redis had answered. */
export const REDIS_HEDGED = REDIS_CONNECTIONS + 1
/** Look-ups on their way, timed-out ones too, until Redis answers or the connection ends. */
export const REDIS_READS_OPEN = REDIS_HEDGED + 1
export const REDIS_WRITES_OPEN = REDIS_READS_OPEN + 1
export const REDIS_WRITE_OCTETS_OPEN = REDIS_WRITES_OPEN + 1
/** Answers that came back into memory at the start. */
export const REDIS_WARMED = REDIS_WRITE_OCTETS_OPEN + 1
/** Slots of the group. */
export const REDIS_SLOTS = REDIS_WARMED + 1

/** What a worker that dies takes with it. */
export const REDIS_GAUGES = [
  REDIS_UP,
  REDIS_READS_OPEN,
  REDIS_WRITES_OPEN,
  REDIS_WRITE_OCTETS_OPEN,
] as const
