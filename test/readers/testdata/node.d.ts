// The names of Node's that examples/readers/reader.ts uses, for the type check without Node's own declarations.
declare module "node:*";
type Buffer = any;
declare const AbortSignal: any, Buffer: any, console: any, fetch: any, process: any, setTimeout: any;
