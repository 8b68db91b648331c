/**
 * Where the hot-path rules do not hold, and why. Each entry names one function of one file; an
 * entry that excuses nothing fails the test.
 */
export interface Exception {
  readonly path: string
  /** The innermost named function. */
  readonly within: string
  readonly rules: readonly string[]
  readonly reason: string
}

/** Whole files in hot folders that no query ever enters. */
export const COLD_FILES: readonly { readonly path: string; readonly reason: string }[] = [
  { path: 'src/trie/open.ts', reason: 'opens and checks an image, once per start or reload' },
  { path: 'src/trie/meta.ts', reason: 'reads the texts of an image, once per start or reload' },
  {
    path: 'src/trie/code-model.ts',
    reason: 'reads the code of an image, once per start or reload',
  },
  { path: 'src/trie/stored-names.ts', reason: 'lists stored names for people and tests' },
  {
    path: 'src/dataplane/build-address-table.ts',
    reason: 'makes tables of addresses, once per start or reload',
  },
  { path: 'src/sys/socket.ts', reason: 'makes sockets, once per start' },
  { path: 'src/sys/peer-credentials.ts', reason: 'once per connection to the admin socket' },
  { path: 'src/sys/notify-socket.ts', reason: 'tells the service manager of starts and reloads' },
  { path: 'src/sys/event-loop.ts', reason: 'finds the loop of Node, once per worker' },
  {
    path: 'src/dataplane/cache/redis-events.ts',
    reason: 'what boxes tell each other: once per policy, in the control plane',
  },
  {
    path: 'src/dataplane/cache/redis-warm.ts',
    reason: 'reads and writes the list of hot names: at the start, once a minute, at the end',
  },
  {
    path: 'src/dataplane/cache/redis-link.ts',
    reason: 'the life of a connection: once per connection, PING or error',
  },
  {
    path: 'src/dataplane/listeners.ts',
    reason: 'opens and closes listeners, once per address',
  },
  {
    path: 'src/dataplane/policy/create-designations.ts',
    reason: 'writes a few records, once per start and change of listeners',
  },
  { path: 'src/dataplane/worker.ts', reason: 'starts, reloads and stops a worker' },
  { path: 'src/dataplane/worker-thread.ts', reason: 'messages of the control plane' },
]

export const HOT_PATH_EXCEPTIONS: readonly Exception[] = [
  {
    path: 'src/trie/dictionary.ts',
    within: 'emptyDictionary',
    rules: ['literal'],
    reason: 'a helper of openDictionary: once per image',
  },
  {
    path: 'src/dataplane/cache/memory-cache.ts',
    within: 'keep',
    rules: ['literal'],
    reason: 'once per answer that is asked for again; lru-cache takes the size in an object',
  },
  {
    path: 'src/dataplane/cache/redis-cache.ts',
    within: 'sendReads',
    rules: ['closure'],
    reason: 'once per batch of look-ups, which knows its own reply',
  },
  {
    path: 'src/dataplane/cache/hot-uses.ts',
    within: 'ranked',
    rules: ['spread', 'literal', 'closure'],
    reason: 'once a minute, when the list is written',
  },
  {
    path: 'src/dataplane/cache/redis-wire.ts',
    within: 'read',
    rules: ['new', 'closure', 'literal'],
    reason: 'ioredis takes a command object; once per batch, in Cluster once per look-up',
  },
  {
    path: 'src/dataplane/cache/redis-wire.ts',
    within: 'write',
    rules: ['new', 'closure'],
    reason: 'ioredis takes a command object, which knows its row; once per batch of writes',
  },
  {
    path: 'src/dataplane/cache/redis-wire.ts',
    within: 'outside',
    rules: ['try'],
    reason: "it is called from ioredis's parser, whose exceptions are the server's fault",
  },
  {
    path: 'src/dataplane/cache/node-gcm.ts',
    within: 'decrypt',
    rules: ['try'],
    reason: 'a wrong tag is an exception of node:crypto, and nothing else tells of it',
  },
  {
    path: 'src/dataplane/settings.ts',
    within: 'answersOf',
    rules: ['list-method', 'closure', 'literal'],
    reason: 'writes what the upstreams are, once per start or reload',
  },
  {
    path: 'src/dataplane/settings.ts',
    within: 'forwardingOf',
    rules: ['literal'],
    reason: 'compares settings, once per reload',
  },
  {
    path: 'src/wire/stream-reader.ts',
    within: 'grow',
    rules: ['new'],
    reason: 'only for a message that came in pieces: the pieces have to be joined',
  },
  {
    path: 'src/dataplane/transport/client-access.ts',
    within: 'addOwn',
    rules: ['new'],
    reason: 'once per listener, after its bind',
  },
  {
    path: 'src/dataplane/transport/reply-gather.ts',
    within: 'writeTo',
    rules: ['new'],
    reason: 'only when sockets hold more large answers than there are spare buffers',
  },
  {
    path: 'src/dataplane/transport/tcp-listener.ts',
    within: 'endpoint',
    rules: ['literal'],
    reason: 'asked once, after the bind',
  },
  {
    path: 'src/dataplane/transport/udp-listener.ts',
    within: 'endpoint',
    rules: ['literal'],
    reason: 'asked once, after the bind',
  },
  {
    path: 'src/dataplane/transport/udp-batch-listener.ts',
    within: 'endpoint',
    rules: ['literal'],
    reason: 'asked once, after the bind',
  },
  {
    path: 'src/dataplane/upstream/tcp-exchange.ts',
    within: 'frame',
    rules: ['new'],
    reason: 'the socket keeps the octets until they are sent, so each query has its own',
  },
  {
    path: 'src/dataplane/upstream/https-exchange.ts',
    within: 'send',
    rules: ['new'],
    reason: 'the library reports to one handler per request, which gathers its response',
  },
  {
    path: 'src/dataplane/upstream/https-exchange.ts',
    within: 'dispatch',
    rules: ['literal'],
    reason: 'the library takes the request as an object, and keeps it',
  },
  {
    path: 'src/dataplane/transport/https-connection.ts',
    within: 'answer',
    rules: ['new'],
    reason: 'an HTTP request makes objects of its own in any case; this one gathers its body',
  },
  {
    path: 'src/dataplane/transport/https-request.ts',
    within: 'onData',
    rules: ['literal'],
    reason: 'only for a body that came in pieces: the pieces have to be joined',
  },
]
