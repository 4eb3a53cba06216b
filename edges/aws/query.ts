/**
 * The query of a URL, names and values decoded. A name that comes twice has a list. Unlike URLSearchParams it leaves `+` alone, as
 * AWS does, and malformed escapes as they are.
 */
export function readQuery(query: string): Record<string, string | string[]> {
  const read: Record<string, string | string[]> = Object.create(null)
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decode(equals === -1 ? pair : pair.slice(0, equals))
    const value = equals === -1 ? '' : decode(pair.slice(equals + 1))
    const known = read[name]
    if (known === undefined) read[name] = value
    else read[name] = Array.isArray(known) ? [...known, value] : [known, value]
  }
  return read
}

function decode(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
