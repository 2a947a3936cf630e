export type { Answer, AnswerEnd } from "./answer.js";
export { type Chat, type ChatEvents, type ChatOptions, connect } from "./chat.js";
export type { ChatState, ConnectionOptions, KeySource, Source } from "./connection.js";
export { ChatError, type ClientCode, type ErrorDetails, type ServerCode } from "./errors.js";
export type * from "./events.js";
export type { WebSocketConstructor, WebSocketLike } from "./socket.js";
