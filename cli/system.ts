/**
 * Where the system is: from the flags, else from the environment, else from the `connection.json` of the data directory.
 *
 * The first of the three that names a door decides which system is meant. A later one may add what the first left open,
 * but only when it names the same door: half of one system and half of another is the one answer nobody wants.
 */
import { connectionFile, isStale, readConnection } from './connection.ts'
import { Failure } from './failure.ts'

export type Nats = { url: string; user?: string; password?: string }

export type System = {
  http?: string
  inspector?: string
  nats?: Nats
  /** The door to knock at: HTTP where both are known, unless the flags named only the other. */
  door: 'http' | 'nats'
  /** For messages: who said so. */
  source: string
  /** Nobody said anything: this is only where a system would be by default. */
  isFallback: boolean
  /** The process that wrote the file is gone; of another container's, only as far as we can see. */
  isStale: boolean
}

export type SystemFlags = {
  http?: string | undefined
  nats?: string | undefined
  dataDir?: string | undefined
}

type Named = Pick<System, 'http' | 'inspector' | 'nats' | 'source' | 'isStale'>

/** Where `lambus up` is when nobody says anything else: config.ts's httpPort. */
const fallback = 'http://127.0.0.1:4566'

/** Reads files but connects to nothing: what it names need not be running. Throws Failure for a malformed address. */
export function findSystem(
  flags: SystemFlags,
  environment: Record<string, string | undefined>,
): System {
  const { LAMBUS_HTTP, LAMBUS_INSPECTOR, LAMBUS_NATS, LAMBUS_DATA_DIR } = environment
  const dataDir = flags.dataDir ?? (LAMBUS_DATA_DIR || './.lambus')
  const fromFlags = named(flags.http, flags.nats, 'the command line')
  const fromFile = () => readNamed(dataDir)
  const fromEnvironment = () => {
    const found = named(LAMBUS_HTTP || undefined, LAMBUS_NATS || undefined, 'the environment')
    return found && LAMBUS_INSPECTOR
      ? { ...found, inspector: readHttpUrl(LAMBUS_INSPECTOR) }
      : found
  }

  let system = fromFlags
  for (const next of [fromEnvironment, fromFile]) {
    if (system?.http !== undefined && system.nats?.user !== undefined) break
    // What the flags named is complete for its door: an unreadable file must not get in the way.
    const found = system === undefined ? next() : quietly(next)
    if (found === undefined) continue
    if (system === undefined) system = found
    else if (isSame(system, found)) system = completed(system, found)
  }
  if (system === undefined && flags.dataDir !== undefined) {
    throw new Failure(
      'NO_SERVER',
      `no ${connectionFile(dataDir)}: is \`lambus up --data-dir ${dataDir}\` running?`,
    )
  }
  const found = system ?? { http: fallback, source: 'the defaults', isStale: false }
  const asksForNats = flags.nats !== undefined && flags.http === undefined
  return {
    ...found,
    door: found.http === undefined || asksForNats ? 'nats' : 'http',
    isFallback: system === undefined,
  }
}

/** The bus of a system, for what only the bus can do. Throws Failure when its address is not known. */
export function natsOf(system: System): Nats {
  if (system.nats !== undefined) return system.nats
  throw new Failure(
    'NO_NATS_ADDRESS',
    `this needs the system's NATS address, and ${system.source} does not tell it: give --nats nats://user:password@host:4222, set LAMBUS_NATS, or run it where \`lambus up\` runs (--data-dir)`,
  )
}

/** An address with its credentials in it, percent-encoded. */
export function natsUrl({ url, user, password }: Nats): string {
  if (user === undefined) return url
  const credentials = [user, ...(password === undefined ? [] : [password])]
  return url.replace('://', `://${credentials.map(encodeURIComponent).join(':')}@`)
}

/** The reverse. Throws Failure for what is no NATS address; the text is not repeated, it may hold a password. */
export function readNatsUrl(text: string): Nats {
  const address = text.includes('://') ? text : `nats://${text}`
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || !/^(nats|tls):$/.test(url.protocol) || url.hostname === '') {
    throw new Failure('BAD_ADDRESS', 'a NATS address looks like nats://127.0.0.1:4222')
  }
  const { username, password } = url
  return {
    url: `${url.protocol}//${url.hostname}:${url.port || 4222}`,
    ...(username === '' ? {} : { user: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
  }
}

export function readHttpUrl(text: string): string {
  const address = text.includes('://') ? text : `http://${text}`
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new Failure('BAD_ADDRESS', `'${text}' is no address like ${fallback}`)
  }
  return url.href.replace(/\/$/, '')
}

function named(
  http: string | undefined,
  nats: string | undefined,
  source: string,
): Named | undefined {
  if (http === undefined && nats === undefined) return undefined
  return {
    ...(http === undefined ? {} : { http: readHttpUrl(http) }),
    ...(nats === undefined ? {} : { nats: readNatsUrl(nats) }),
    source,
    isStale: false,
  }
}

function readNamed(dataDir: string): Named | undefined {
  const connection = readConnection(dataDir)
  if (connection === undefined) return undefined
  const { http, inspector, nats: url, user, password, pid } = connection
  const file = connectionFile(dataDir)
  const isGone = isStale(connection)
  return {
    ...(http === undefined ? {} : { http }),
    ...(inspector === undefined ? {} : { inspector }),
    nats: {
      url,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
    },
    source: isGone ? `${file}, whose process ${pid} is gone` : file,
    isStale: isGone,
  }
}

const isSame = (one: Named, other: Named): boolean =>
  (one.http !== undefined && one.http === other.http) ||
  (one.nats !== undefined && one.nats.url === other.nats?.url)

/** An address from the ready line has no credentials; the file of the same system has. */
function completed(system: Named, found: Named): Named {
  const nats =
    system.nats !== undefined && found.nats?.url === system.nats.url
      ? { ...found.nats, ...system.nats }
      : (system.nats ?? found.nats)
  return { ...found, ...system, ...(nats === undefined ? {} : { nats }) }
}

function quietly(read: () => Named | undefined): Named | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
