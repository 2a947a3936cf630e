//! The protocol of a chat: which frames follow from events and from the time. docs/CLIENTS.md describes it.
//!
//! It has no socket and waits for nothing: its owner sends `frames`, calls `tick` once a second, and closes the chat when
//! `end` is set.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    answer::{AnswerNumber, SILENT_AFTER, Start, Tracked},
    chat::{Request, Update},
    command::Command,
    error::{ChatError, Code},
    event::{ConnectionEstablished, ErrorEvent, Event, MessageReceived, StreamEnded, StreamStarted, StreamToken},
    frame::Frame,
    timing::backoff,
};

/// The server refuses larger frames, and closes the socket of one above 32 KB without a word.
const MAX_FRAME_BYTES: usize = 28 * 1024;
/// The server responds to a frame within nine seconds.
const RESPONSE_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer may take to go on once the rest was asked for.
const RESUMED_WITHIN: Duration = Duration::from_secs(5);
/// A message waits for a limit that lasts no longer.
const LONGEST_LIMIT: Duration = Duration::from_secs(60);
/// Attempts to get a response, or the rest of an answer, before the socket is replaced.
const ATTEMPTS: u32 = 2;
const RESUMES: u32 = 3;

pub(crate) struct Session {
    message_timeout: Duration,
    requests: mpsc::WeakUnboundedSender<Request>,
    is_open: bool,
    /// What the server has not acknowledged. The first one is on its way: an error names none.
    commands: VecDeque<Command>,
    /// Messages that are acknowledged, by their ids, until their answers start.
    expected: HashMap<String, Command>,
    /// The answers that have not ended, by their ids.
    answers: HashMap<String, Tracked>,
    /// The ids of those that have.
    ended: HashSet<String>,
    /// The ids of the messages that were sent here.
    received: HashSet<String>,
    /// What may be of the answer to a command, once that is acknowledged.
    held: Vec<Held>,
    next_number: AnswerNumber,
    /// What is to be sent.
    pub(crate) frames: Vec<Frame>,
    /// What the app may want to know.
    pub(crate) updates: Vec<Update>,
    /// Whether the socket seems to be dead.
    pub(crate) is_dead: bool,
    /// Why the chat ends.
    pub(crate) end: Option<ChatError>,
}

enum Held {
    /// A stream that began before this socket.
    Join(Start),
    Event(Event),
}

impl Session {
    pub(crate) fn new(message_timeout: Duration, requests: mpsc::WeakUnboundedSender<Request>) -> Self {
        Self {
            message_timeout,
            requests,
            is_open: false,
            commands: VecDeque::new(),
            expected: HashMap::new(),
            answers: HashMap::new(),
            ended: HashSet::new(),
            received: HashSet::new(),
            held: Vec::new(),
            // Those of commands count from 0.
            next_number: 1 << 63,
            frames: Vec::new(),
            updates: Vec::new(),
            is_dead: false,
            end: None,
        }
    }

    /// Sends a command as soon as there is a connection.
    pub(crate) fn ask(&mut self, mut command: Command) {
        let bytes = command.frame.to_json().len();
        if bytes > MAX_FRAME_BYTES {
            return command.answer.fail(&too_large(bytes));
        }
        command.give_up_at = Instant::now() + self.message_timeout;
        self.commands.push_back(command);
        self.send_next();
    }

    pub(crate) fn cancel(&mut self, number: AnswerNumber) {
        let is_asked = |command: &Command| command.answer.is(number);
        if let Some(at) = self.commands.iter().position(is_asked) {
            let command = &mut self.commands[at];
            if command.may_be_answered() {
                command.answer.is_cancelled = true;
            } else if let Some(command) = self.commands.remove(at) {
                command.answer.end_unsent();
                self.release();
                self.send_next();
            }
        } else if let Some(command) = self.expected.values_mut().find(|command| is_asked(command)) {
            command.answer.is_cancelled = true;
        } else if let Some((id, answer)) = self.answers.iter_mut().find(|(_, answer)| answer.is(number)) {
            answer.is_cancelled = true;
            send_cancel(&mut self.frames, id, answer);
        }
    }

    /// Asks a new socket for what the last one may have missed.
    pub(crate) fn on_open(&mut self, established: ConnectionEstablished) {
        self.is_open = true;
        for (id, answer) in &mut self.answers {
            answer.has_gap = false;
            resume(&mut self.frames, id, answer);
        }
        let streams = established.active_streams;
        let missing = |id: &String| !streams.iter().any(|stream| stream.in_reply_to == *id);
        let asked_again: Vec<_> = self.expected.extract_if(|id, _| missing(id)).collect();
        for command in &mut self.commands {
            command.send_at_once();
        }
        for (_, command) in asked_again {
            self.ask_again(command);
        }
        for stream in streams {
            self.join(stream.into());
        }
        self.send_next();
    }

    pub(crate) fn on_lost(&mut self) {
        self.is_open = false;
    }

    /// Sends a message again whose answer did not start here: its acknowledgement names the answer. A command that is on
    /// its way comes first: an error names none.
    fn ask_again(&mut self, mut command: Command) {
        command.send_at_once();
        let is_on_its_way = self.commands.front().is_some_and(|first| first.sent_here > 0);
        self.commands.insert(usize::from(is_on_its_way), command);
    }

    fn send_next(&mut self) {
        let now = Instant::now();
        let Some(command) = self.commands.front_mut().filter(|command| now >= command.resend_at) else { return };
        if !self.is_open {
            return;
        }
        command.sent_here += 1;
        command.sent += 1;
        command.is_refused = false;
        command.resend_at = now + RESPONSE_WITHIN;
        self.frames.push(command.frame.clone());
    }

    /// Gives up what took too long, and asks again for what did not come in time.
    pub(crate) fn tick(&mut self) {
        let now = Instant::now();
        self.give_up(now);
        if self.is_open {
            self.ask_for_late(now);
        }
    }

    fn give_up(&mut self, now: Instant) {
        let is_late = |command: &Command| command.give_up_at <= now;
        let unanswered = self.expected.extract_if(|_, command| is_late(command)).map(|(_, command)| command);
        let mut late: Vec<_> = unanswered.collect();
        let (unacknowledged, rest) = mem::take(&mut self.commands).into_iter().partition(is_late);
        self.commands = rest;
        late.extend::<VecDeque<_>>(unacknowledged);
        if !late.is_empty() {
            for Command { answer, is_stored, sent, .. } in late {
                answer.fail(&if is_stored { no_answer("start") } else { no_response(sent) });
            }
            self.release();
            self.send_next();
        }
        let is_silent = |answer: &Tracked| now > answer.received_at + self.message_timeout;
        for (id, answer) in self.answers.extract_if(|_, answer| is_silent(answer)) {
            self.ended.insert(id);
            answer.fail(&no_answer("go on"));
        }
    }

    /// Drops a socket that brings nothing.
    fn ask_for_late(&mut self, now: Instant) {
        let is_late = |command: &Command| now >= command.resend_at;
        for (_, command) in self.expected.extract_if(|_, command| is_late(command)).collect::<Vec<_>>() {
            self.ask_again(command);
        }
        let mut late: Vec<_> = self
            .answers
            .iter_mut()
            .filter(|(_, answer)| answer.resume_at.is_some_and(|resume_at| now >= resume_at))
            .collect();
        let command = self.commands.front();
        let is_silent = command.is_some_and(|command| command.sent_here >= ATTEMPTS && is_late(command));
        if is_silent || late.iter().any(|(_, answer)| answer.resumes >= RESUMES) {
            for (_, answer) in &mut late {
                answer.resumes = 0;
            }
            self.is_dead = true;
            return;
        }
        for (id, answer) in late {
            resume(&mut self.frames, id, answer);
        }
        self.send_next();
    }

    pub(crate) fn on_event(&mut self, event: Event) {
        match event {
            Event::MessageReceived(message) => self.on_received(message),
            Event::MessageStreamStarted(_) | Event::MessageStreamToken(_) | Event::MessageStreamEnded(_) => {
                self.on_stream_event(event);
            }
            Event::Error(error) => self.on_error(error),
            _ => {}
        }
    }

    fn on_received(&mut self, message: MessageReceived) {
        let is_its = |command: &Command| command.is_message(message.client_message_id.as_deref());
        let command = self.commands.iter().position(is_its).and_then(|at| self.commands.remove(at));
        let Some(mut command) = command else {
            // A message that was sent again may be acknowledged twice.
            if !self.received.contains(&message.message_id) {
                self.updates.push(Update::Message(message));
            }
            return;
        };
        let now = Instant::now();
        if !command.is_stored {
            command.give_up_at = now + self.message_timeout;
        }
        command.is_stored = true;
        command.resend_at = now + SILENT_AFTER;
        command.answer.on_received(&message);
        self.received.insert(message.message_id.clone());
        let streaming = message.answer_id.as_ref().and_then(|id| Some((id, self.answers.get_mut(id)?)));
        if let Some((id, answer)) = streaming {
            answer.join(command.answer);
            if answer.is_cancelled {
                send_cancel(&mut self.frames, id, answer);
            }
            self.release();
        } else {
            self.expected.insert(message.message_id.clone(), command);
            self.release();
            if let Some(answer_id) = message.answer_id {
                // The app may have sent it before, and seen its answer.
                self.ended.remove(&answer_id);
                self.join(Start::repeated(answer_id, message.seq.saturating_add(1), message.message_id));
            }
        }
        self.send_next();
    }

    /// Handles what waited until a command was acknowledged.
    fn release(&mut self) {
        for held in mem::take(&mut self.held) {
            match held {
                Held::Join(start) => self.join(start),
                Held::Event(event) => self.on_stream_event(event),
            }
        }
    }

    /// Asks for an answer that has started elsewhere, from its beginning.
    fn join(&mut self, start: Start) {
        let id = &start.message_id;
        if self.ended.contains(id) || self.answers.contains_key(id) {
            return;
        }
        match self.claim(start) {
            Ok(id) => {
                if let Some(answer) = self.answers.get_mut(&id) {
                    resume(&mut self.frames, &id, answer);
                }
            }
            Err(start) => self.held.push(Held::Join(start)),
        }
    }

    fn on_stream_event(&mut self, event: Event) {
        let (Event::MessageStreamStarted(StreamStarted { message_id, .. })
        | Event::MessageStreamToken(StreamToken { message_id, .. })
        | Event::MessageStreamEnded(StreamEnded { message_id, .. })) = &event
        else {
            return;
        };
        let id = message_id.clone();
        if self.ended.contains(&id) {
            return;
        }
        if !self.answers.contains_key(&id) {
            let is_claimed = match &event {
                Event::MessageStreamStarted(started) => self.claim(started.clone().into()).is_ok(),
                _ => false,
            };
            if !is_claimed {
                if self.commands.front().is_some_and(Command::may_be_answered) {
                    self.held.push(Held::Event(event));
                }
                return;
            }
        }
        let Some(answer) = self.answers.get_mut(&id) else { return };
        answer.note_event();
        match event {
            Event::MessageStreamStarted(started) => answer.on_started(&started.into()),
            Event::MessageStreamToken(part) => {
                let lacks_text = !answer.on_token(&part);
                // All parts that follow lack the same text.
                if lacks_text && !answer.has_gap {
                    resume(&mut self.frames, &id, answer);
                    answer.has_gap = true;
                }
            }
            // The missing text is on its way, and another end after it.
            Event::MessageStreamEnded(end) if end.content.is_none() && answer.has_gap => {
                resume(&mut self.frames, &id, answer);
            }
            Event::MessageStreamEnded(end) => {
                if let Some(answer) = self.answers.remove(&id) {
                    answer.on_ended(&end);
                }
                self.ended.insert(id);
            }
            _ => {}
        }
    }

    /// Takes a stream that is new; returns its id. Refuses it as long as it may be the answer to a command.
    fn claim(&mut self, start: Start) -> Result<String, Start> {
        let id = start.message_id.clone();
        let is_its = |command: &mut Command| {
            command.sent > 0 && command.regenerates().is_some() && command.regenerates() == start.replaces.as_deref()
        };
        let expected = self.expected.remove(&start.in_reply_to);
        let is_expected = expected.is_some();
        let asked = expected.or_else(|| self.commands.pop_front_if(is_its));
        let is_elsewhere = asked.is_none();
        if is_elsewhere && self.commands.front().is_some_and(Command::may_be_answered) {
            return Err(start);
        }
        let mut answer = match asked {
            Some(command) => command.answer,
            None => {
                self.next_number += 1;
                Tracked::new(self.next_number)
            }
        };
        answer.on_started(&start);
        answer.note_event();
        if is_elsewhere {
            self.updates.extend(answer.answer(self.requests.clone()).map(Update::Answer));
        }
        if answer.is_cancelled {
            send_cancel(&mut self.frames, &id, &mut answer);
        }
        self.answers.insert(id.clone(), answer);
        if !is_elsewhere && !is_expected {
            // The answer acknowledges a regeneration.
            self.release();
            self.send_next();
        }
        Ok(id)
    }

    fn on_error(&mut self, event: ErrorEvent) {
        let failed = event.message_id.clone();
        let error = ChatError::from(event);
        if [&Code::ChatNotFound, &Code::ConnectionClosing].contains(&error.code()) {
            self.end = Some(error);
            return;
        }
        if let Some(id) = failed {
            if let Some(answer) = self.answers.get_mut(&id) {
                answer.on_error(error);
            }
            return;
        }
        if let Some(about) = error.message_id()
            && self.commands.front().and_then(Command::regenerates) != Some(about)
        {
            // Of a command to resume or to cancel.
            if error.is_retryable() {
                if let Some(answer) = self.answers.get_mut(about) {
                    answer.resume_later(&error);
                }
            } else if let Some((id, answer)) = self.answers.remove_entry(about) {
                self.ended.insert(id);
                answer.fail(&error);
            }
            return;
        }
        if *error.code() == Code::RateLimitExceeded {
            for answer in self.answers.values_mut().filter(|answer| answer.resumes > 0) {
                answer.resume_later(&error);
            }
        }
        if self.commands.front().is_some_and(|command| command.sent_here > 0) {
            self.retry_or_fail(error);
        }
    }

    /// What the server refuses is sent again if that may help.
    fn retry_or_fail(&mut self, error: ChatError) {
        let Some(command) = self.commands.front_mut() else { return };
        let after = error.retry_after().unwrap_or_else(|| backoff(command.sent));
        if !error.is_retryable() || after > LONGEST_LIMIT {
            if let Some(command) = self.commands.pop_front() {
                command.answer.fail(&error);
            }
            self.release();
            return self.send_next();
        }
        // After these two, the message may be stored.
        command.is_refused = ![&Code::Unavailable, &Code::Internal].contains(&error.code());
        command.resend_at = Instant::now() + after;
        command.sent_here = 0;
        if command.is_refused && !command.is_stored && command.answer.is_cancelled {
            if let Some(command) = self.commands.pop_front() {
                command.answer.end_unsent();
            }
            self.release();
            return self.send_next();
        }
        // What was kept for it is of another socket.
        self.release();
        self.updates.push(Update::Retry { error, after });
    }

    /// Fails what has not ended.
    pub(crate) fn close(&mut self, error: &ChatError) {
        let commands = mem::take(&mut self.commands).into_iter();
        let expected = mem::take(&mut self.expected).into_values();
        let asked = commands.chain(expected).map(|command| command.answer);
        for answer in asked.chain(mem::take(&mut self.answers).into_values()) {
            answer.fail(error);
        }
    }
}

fn resume(frames: &mut Vec<Frame>, id: &str, answer: &mut Tracked) {
    answer.resumes += 1;
    answer.resume_at = Some(Instant::now() + RESUMED_WITHIN);
    frames.push(Frame::Resume { message_id: id.to_owned(), offset: answer.offset() });
    if answer.is_cancelled {
        send_cancel(frames, id, answer);
    }
}

fn send_cancel(frames: &mut Vec<Frame>, id: &str, answer: &mut Tracked) {
    frames.push(Frame::Cancel { message_id: id.to_owned() });
    // If the socket does not get the end, the rest is asked for.
    let resume_at = Instant::now() + RESUMED_WITHIN;
    answer.resume_at = Some(answer.resume_at.map_or(resume_at, |known| known.min(resume_at)));
}

fn too_large(bytes: usize) -> ChatError {
    let message = format!("The message has {bytes} bytes, which is too large: {MAX_FRAME_BYTES} are allowed.");
    ChatError::new(Code::MessageTooLarge, message, "Send several messages.")
}

fn no_response(sent: u32) -> ChatError {
    let (message, suggestion) = match sent {
        0 => ("The message was not sent in time.", "Check the network, then send it again."),
        _ => ("The message was not acknowledged in time.", "Load the messages of the chat: it may be stored."),
    };
    ChatError::new(Code::NoResponse, message, suggestion).retryable()
}

fn no_answer(what: &str) -> ChatError {
    let suggestion = "Load the messages of the chat.";
    ChatError::new(Code::NoResponse, format!("The answer does not {what}."), suggestion).retryable()
}
