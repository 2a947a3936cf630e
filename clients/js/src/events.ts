import type { components } from "./generated/events.js";

type Schemas = components["schemas"];
export type ConnectionEstablished = Schemas["ConnectionEstablishedEvent"];
export type UserCreated = Schemas["UserCreatedEvent"];
export type MessageReceived = Schemas["MessageReceivedEvent"];
export type StreamStarted = Schemas["MessageStreamStartedEvent"];
export type StreamToken = Schemas["MessageStreamTokenEvent"];
export type StreamEnded = Schemas["MessageStreamEndedEvent"];
export type Pong = Schemas["PongEvent"];
export type ErrorEvent = Schemas["ErrorEvent"];
export type ActiveStream = Schemas["ActiveStream"];
export type FinishReason = Schemas["FinishReason"];
export type Usage = Schemas["Usage"];
export type Timing = Schemas["Timing"];

/** What the server sends on a socket. */
export type ServerEvent =
  ConnectionEstablished | UserCreated | MessageReceived | StreamStarted | StreamToken | StreamEnded | Pong | ErrorEvent;

/** An event of a type that this version of the client does not know. */
export interface UnknownEvent {
  type: string;
  [field: string]: unknown;
}

/** What the client sends on a socket. */
export type Frame =
  | { type: "message"; content: string; client_message_id: string }
  | { type: "cancel" | "regenerate"; message_id: string }
  | { type: "resume"; message_id: string; offset: number }
  | { type: "ping" };
