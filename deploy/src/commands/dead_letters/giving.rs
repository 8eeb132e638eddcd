//! An event with which a function failed: it can be given once more, as it is, to the binding that failed with it.

use anyhow::{Result, anyhow};
use factfold_consumers::{
    changes::Fold,
    functions::{FunctionsDecider, function},
};
use factfold_projections::log_reader::{Bound, Log, Stop, merge};
use factfold_schemas::{functions::FunctionName, partitioner::partition_of, topics::Service};

use super::letter::Letter;
use crate::{blocking::interrupted, failure::Failure};

/// Refuses a letter whose event nobody would be given.
pub(super) fn check(log: &Log, letter: &Letter, stop: &Stop) -> Result<(), Failure> {
    let Some((name, number)) = letter.binding else {
        return Err(Failure::Refused(anyhow!(
            "{} does not say which binding failed with it: it is older than this can be told. Drop it; a new binding from \
             the beginning is given every event again",
            letter.position
        )));
    };
    match binding_of(log, name, stop)? {
        Some(bound) if bound == number => Ok(()),
        Some(bound) => Err(Failure::Refused(anyhow!(
            "`{name}` is bound anew since (binding {bound}), and failed in binding {number}: drop the letter. A binding from \
             the beginning is given every event again"
        ))),
        None => Err(Failure::Refused(anyhow!(
            "`{name}` is not bound any more, so nobody is given the event: drop the letter. A binding from the beginning is \
             given every event again"
        ))),
    }
}

/// The number of this function's binding; nothing where it has none.
fn binding_of(log: &Log, name: FunctionName, stop: &Stop) -> Result<Option<u32>, Failure> {
    let (topic, stream) = (Service::Functions.events(), name.stream());
    let partition = partition_of(stream.as_str().as_bytes(), log.partitions(&log.cluster().topic(topic))?);
    let mut lanes = log.lanes(&[topic], Some(partition), &Bound::Beginning, &Bound::End)?;
    let (mut fold, mut binding) = (Fold::<FunctionsDecider>::default(), None);
    let ended = log.read(&mut lanes, stop, |record, _| -> Result<_> {
        if record.key() == Some(stream.as_str().as_bytes())
            && let Some(Some(entry)) = fold.after(&record.incoming())
        {
            binding = function(name, entry).binding.map(|bound| bound.binding);
        }
        Ok(merge::Next::Go)
    })?;
    if ended { Ok(binding) } else { Err(interrupted()) }
}
