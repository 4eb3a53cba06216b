/**
 * TypeScript with a dependency from npm. `lambus deploy` makes one file of both; nothing is compiled beforehand.
 *
 *     npm install --prefix examples/typescript
 *     lambus deploy examples/typescript --name sizes
 *     lambus invoke sizes '{"bytes":[1337,6291456]}'    → {"sizes":["1.34 kB","6.29 MB"]}
 */
import prettyBytes from 'pretty-bytes'

type Event = { bytes?: number[] }

export async function handler({ bytes = [] }: Event): Promise<{ sizes: string[] }> {
  return { sizes: bytes.map((count) => prettyBytes(count)) }
}
