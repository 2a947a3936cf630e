export {
  ChatApi,
  type CallOptions,
  type ChatChange,
  type ChatInfo,
  type ChatPage,
  type Message,
  type MessagePage,
  type NewChat,
  type RestOptions,
  type Ticket,
  type UsageReport,
} from "./rest.js";
