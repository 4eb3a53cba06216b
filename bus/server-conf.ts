/**
 * nats.conf for the server that we start ourselves. The file for people who run their own is nats.conf in the root; the
 * two say the same where they speak of the same.
 *
 * One setting per line: nats-server takes two on one line for one.
 */
import { isAtLeast } from './server.ts'

export type ServerConf = {
  /** Of the binary: some settings are an error to an older server. */
  version: string
  /** 0–65535; 0 picks a free one. */
  port: number
  storeDir: string
  /** Where the server writes the ports that it listens on, once it is ready. */
  portsDir: string
  user: string
  password: string
  /** The system account's user: asks the server about itself. */
  systemUser: string
  systemPassword: string
}

/** The text of the file. It holds passwords: mode 0600. */
export function serverConf(conf: ServerConf): string {
  return `# Written by lambus at each start: changes are lost.
host: "127.0.0.1"
port: ${conf.port === 0 ? -1 : conf.port}
ports_file_dir: ${quote(conf.portsDir)}

# 6 MB of payload (AWS Lambda quotas) and what travels around it; the default is 1 MB.
max_payload: 8MB

jetstream {
  store_dir: ${quote(conf.storeDir)}
  # Acknowledged means on disk; the default leaves two minutes to lose.
  sync_interval: always
${isAtLeast(conf.version, '2.15.0') ? consumerLimit : ''}}

system_account: SYS
accounts {
  SYS {
    users: [
      { user: ${quote(conf.systemUser)}, password: ${quote(conf.systemPassword)} }
    ]
  }
  LAMBUS {
    jetstream: enabled
    users: [
      { user: ${quote(conf.user)}, password: ${quote(conf.password)} }
    ]
  }
}
`
}

const consumerLimit = `  limits {
    # Each watcher of a bucket is a consumer, and 2.15 stops at 1000 of them a stream.
    default_max_consumers: -1
  }
`

const quote = (text: string): string => `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
