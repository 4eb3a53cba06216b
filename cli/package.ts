/**
 * What package.json says of us. The build puts one beside the compiled files, so that this path holds there too.
 */
import { readFileSync } from 'node:fs'

export const version: string = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
).version
