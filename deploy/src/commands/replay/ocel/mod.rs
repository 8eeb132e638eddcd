//! OCEL 2.0 in JSON, for process mining: <https://www.ocel-standard.org/specification/formats/json>.
//!
//! Events are written as they come. What can be said only at the end waits for it: the types, which are few; the objects, of
//! each of which some forty bytes are in memory; and what they were like when, which lies in a temporary file.

mod document;
mod event;
mod object;
mod objects;
mod types;

use anyhow::Result;
use factfold_projections::log_reader::{Lane, Record, Stop};

use self::{document::Document, event::Event, objects::Objects, types::Types};
use super::{output::Output, sink::Sink};
use crate::{blocking::interrupted, failure::Failure};

/// A log on its way.
pub(super) struct Ocel {
    document: Document,
    event_types: Types,
    object_types: Types,
    objects: Objects,
    stop: Stop,
}

impl Ocel {
    /// A log in this place.
    pub(super) fn new(output: Output, stop: &Stop) -> Result<Self> {
        Ok(Self {
            document: Document::begin(output, "events")?,
            event_types: Types::default(),
            object_types: Types::default(),
            objects: Objects::new()?,
            stop: stop.clone(),
        })
    }
}

impl Sink for Ocel {
    fn write(&mut self, record: &Record<'_>) -> Result<()> {
        let event = Event::of(record);
        self.event_types.see(event.name, &event.attributes);
        for object in event.objects() {
            self.object_types.see(object.kind(), []);
            self.objects.see(object);
        }
        if let Some(object) = event.stream {
            for attribute in event.attributes.iter().filter(|attribute| object.keeps(&attribute.name)) {
                self.object_types.see(object.kind(), [attribute]);
                self.objects.change(object, &event.time, attribute)?;
            }
        }
        self.document.write(&event)
    }

    fn settle(&mut self, _: &[Lane]) -> Result<bool> {
        // Without its end nobody can read it.
        Ok(false)
    }

    fn finish(self: Box<Self>, _: &[Lane]) -> Result<(), Failure> {
        let Self { mut document, event_types, object_types, objects, stop } = *self;
        document.next_list("objects")?;
        for object in objects.all()? {
            if stop.is_wanted() {
                return Err(interrupted());
            }
            document.write(&object?)?;
        }
        for (list, types) in [("eventTypes", event_types), ("objectTypes", object_types)] {
            document.next_list(list)?;
            types.all().try_for_each(|of_type| document.write(&of_type))?;
        }
        document.end()
    }
}
