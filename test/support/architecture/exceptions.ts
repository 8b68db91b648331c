/**
 * Where the hot-path rules do not hold, and why. Each entry speaks of one function, or with `*` of
 * a whole file; an entry that excuses nothing fails the test.
 */
export interface Exception {
  readonly path: string
  /** The innermost named function, or `*`. */
  readonly within: string
  readonly rules: readonly string[]
  readonly reason: string
}

export const HOT_PATH_EXCEPTIONS: readonly Exception[] = [
  {
    path: 'src/trie/open.ts',
    within: '*',
    rules: ['new', 'template'],
    reason: 'helpers of openTrie: they run once per image',
  },
  {
    path: 'src/trie/meta.ts',
    within: '*',
    rules: ['closure', 'list-method', 'literal', 'spread', 'try'],
    reason: 'the texts of an image are written and read once per image',
  },
  {
    path: 'src/trie/stored-names.ts',
    within: '*',
    rules: ['literal', 'new'],
    reason: 'walks all names for people, statistics and tests, never for a query',
  },
  {
    path: 'src/dataplane/cache/memory-cache.ts',
    within: 'set',
    rules: ['literal'],
    reason: 'lru-cache takes the size of an entry in an object; once per upstream answer',
  },
  {
    path: 'src/dataplane/pipeline.ts',
    within: 'answered',
    rules: ['new'],
    reason: 'the entry that the cache keeps; once per upstream answer',
  },
  {
    path: 'src/dataplane/pipeline.ts',
    within: 'sameForwarding',
    rules: ['literal'],
    reason: 'compares two configurations; once per reload',
  },
  {
    path: 'src/dataplane/stream-reader.ts',
    within: 'push',
    rules: ['new'],
    reason: 'joins a message that arrived in pieces; whole messages are not copied',
  },
  {
    path: 'src/dataplane/transport/tcp-listener.ts',
    within: 'accept',
    rules: ['new'],
    reason: 'once per connection, which stays for many queries',
  },
  {
    path: 'src/dataplane/transport/tcp-listener.ts',
    within: 'endpoint',
    rules: ['literal'],
    reason: 'asked once, when the listener is open',
  },
  {
    path: 'src/dataplane/transport/udp-listener.ts',
    within: 'endpoint',
    rules: ['literal'],
    reason: 'asked once, when the listener is open',
  },
  {
    path: 'src/dataplane/upstream/tcp-exchange.ts',
    within: 'send',
    rules: ['new'],
    reason: 'the socket owns the octets until they are written; only truncated answers come here',
  },
  {
    path: 'src/dataplane/upstream/tcp-exchange.ts',
    within: 'closed',
    rules: ['literal', 'spread'],
    reason: 'copies what is lost, because failing over changes the map; once per lost connection',
  },
  {
    path: 'src/dataplane/upstream/udp-exchange.ts',
    within: 'breakPort',
    rules: ['literal', 'spread'],
    reason: 'copies what is lost, because failing over changes the map; once per broken port',
  },
  {
    path: 'src/dataplane/worker.ts',
    within: 'reload',
    rules: ['new'],
    reason: 'makes the access list of a new configuration; once per reload',
  },
  {
    path: 'src/dataplane/worker.ts',
    within: 'startThread',
    rules: ['closure', 'literal'],
    reason: 'messages from the control plane: reload and stop',
  },
]
