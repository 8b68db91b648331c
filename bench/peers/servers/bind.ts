/** BIND: the list as a response policy zone, one thread. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { program } from '../../../test/support/programs.ts'
import type { Command } from '../children.ts'
import { type Server, type Site, policyZone, versionOf } from './server.ts'

function configuration({ folder, port, upstreamPort }: Site): string {
  return `
options {
  directory "${folder}";
  listen-on port ${port} { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  lock-file none;
  session-keyfile none;
  allow-query { 127.0.0.0/8; };
  recursion yes;
  forward only;
  forwarders { 127.0.0.1 port ${upstreamPort}; };
  dnssec-validation no;
  recursive-clients 10000;
  tcp-clients 1000;
  max-cache-size 256m;
  response-policy { zone "policy.bench" log no; } qname-wait-recurse no;
};
controls { };
logging { category default { null; }; category unmatched { null; }; };
zone "policy.bench" { type primary; file "policy.zone"; allow-query { none; }; notify no; };
`
}

/** BIND with a policy zone. */
export const bind: Server = {
  key: 'bind',
  title: 'BIND',
  method: 'RPZ',
  role: 'peer',
  version: () => versionOf('named', ['-v'], /BIND (\d[\d.]*)/),
  async prepare(site): Promise<Command> {
    await writeFile(join(site.folder, 'policy.zone'), policyZone(site.list.names))
    const file = join(site.folder, 'named.conf')
    await writeFile(file, configuration(site))
    return { program: await program('named'), args: ['-g', '-n', '1', '-c', file] }
  },
}
