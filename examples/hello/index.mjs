/** lambus invoke hello '{"name":"Ada"}' → {"message":"Hello, Ada!"} */
export const handler = async ({ name = 'World' }) => ({ message: `Hello, ${name}!` })
