//! From a question to the request and the entities that Cedar judges.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression};
use gateway_core::actor::Groups;
use gateway_core::manifest::Risk;
use gateway_core::policy::Question;

use super::schema::{Vocabulary, tier_word};

/// What one question looks like to Cedar.
pub(super) struct Facts {
    pub(super) request: Request,
    pub(super) entities: Entities,
}

/// The question has no form that Cedar could judge. Constant text: never an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unaskable(pub(super) &'static str);

type Attributes = HashMap<String, RestrictedExpression>;

impl Facts {
    pub(super) fn of(vocabulary: &Vocabulary, question: &Question<'_>) -> Result<Self, Unaskable> {
        let environment = vocabulary.environment(question.environment.spec.name.as_str());
        let server = vocabulary.server(question.server.spec.name.as_str());
        let (resource, tool) = resource(vocabulary, question, &server)?;
        let entities = [
            Some(entity(vocabulary.caller.clone(), caller(question)?, [])?),
            Some(entity(server, server_attributes(question), [environment.clone()])?),
            Some(entity(environment, Attributes::new(), [])?),
            tool,
        ];
        let entities = Entities::from_entities(entities.into_iter().flatten(), None)
            .map_err(|_| Unaskable("its entities do not fit together"))?;
        let action = vocabulary.action(question.action);
        let context =
            Context::from_pairs(context(question)).map_err(|_| Unaskable("its context makes no sense"))?;
        // The caller's absent parts are left out on purpose, so the request is not checked against the
        // schema, which has them required: that is what makes reading an absent part an error.
        let request = Request::new(vocabulary.caller.clone(), action, resource, context, None)
            .map_err(|_| Unaskable("it is no request"))?;
        Ok(Self { request, entities })
    }
}

/// The thing asked for, and its entity where it is a tool.
fn resource(
    vocabulary: &Vocabulary,
    question: &Question<'_>,
    server: &EntityUid,
) -> Result<(EntityUid, Option<Entity>), Unaskable> {
    use gateway_core::policy::Action::CallTool;
    match (question.action, question.tool) {
        (CallTool, Some(tool)) => {
            let uid = vocabulary.tool(question.server.spec.name.as_str(), tool.as_str());
            let attributes = Attributes::from([
                ("name".to_owned(), text(tool.as_str())),
                ("owner".to_owned(), text(question.server.spec.owner.as_str())),
                ("risk".to_owned(), text(question.risk.word())),
            ]);
            let tool = entity(uid.clone(), attributes, [server.clone()])?;
            Ok((uid, Some(tool)))
        }
        (CallTool, None) => Err(Unaskable("`call_tool` names no tool")),
        (_, Some(_)) => Err(Unaskable("only `call_tool` names a tool")),
        (_, None) => Ok((server.clone(), None)),
    }
}

/// The caller's parts. What is absent or unknown is not an attribute at all.
fn caller(question: &Question<'_>) -> Result<Attributes, Unaskable> {
    let mut attributes = Attributes::new();
    let actor = question.actor;
    if let Some(user) = &actor.user {
        let parts = [
            ("issuer".to_owned(), text(&user.issuer)),
            ("subject".to_owned(), text(&user.subject)),
            ("id".to_owned(), text(&user.to_string())),
        ];
        attributes.insert("user".to_owned(), record(parts)?);
    }
    if let Groups::Known(groups) = &actor.groups {
        let names = groups.iter().map(|group| text(group.as_str()));
        attributes.insert("groups".to_owned(), RestrictedExpression::new_set(names));
    }
    match (&actor.agent, question.agent) {
        (None, None) => {}
        (Some(name), Some(agent)) if *name == agent.name => {
            let parts = [
                ("name".to_owned(), text(name.as_str())),
                ("owner_team".to_owned(), text(agent.owner.as_str())),
                ("risk_ceiling".to_owned(), text(agent.risk_ceiling.word())),
            ];
            attributes.insert("agent".to_owned(), record(parts)?);
        }
        _ => return Err(Unaskable("the agent is not the actor's")),
    }
    if let Some(workload) = &actor.workload {
        attributes.insert("workload".to_owned(), text(workload.as_str()));
    }
    Ok(attributes)
}

fn server_attributes(question: &Question<'_>) -> Attributes {
    let server = &question.server.spec;
    Attributes::from([
        ("name".to_owned(), text(server.name.as_str())),
        ("owner".to_owned(), text(server.owner.as_str())),
    ])
}

fn context(question: &Question<'_>) -> Vec<(String, RestrictedExpression)> {
    let environment = &question.environment.spec;
    let binding = &question.binding.spec;
    let level = match question.risk {
        Risk::Read => 0,
        Risk::Write => 1,
        Risk::Destructive => 2,
    };
    let mut pairs = vec![
        ("environment".to_owned(), text(environment.name.as_str())),
        ("tier".to_owned(), text(tier_word(environment.tier))),
        ("risk".to_owned(), text(question.risk.word())),
        ("risk_level".to_owned(), RestrictedExpression::new_long(level)),
        ("mode".to_owned(), text(binding.mode.word())),
        ("binding".to_owned(), text(binding.name.as_str())),
        ("method".to_owned(), text(question.method)),
    ];
    if let Some(surface) = &question.actor.surface {
        pairs.push(("surface".to_owned(), text(surface)));
    }
    pairs
}

fn entity<const N: usize>(
    uid: EntityUid,
    attributes: Attributes,
    parents: [EntityUid; N],
) -> Result<Entity, Unaskable> {
    Entity::new(uid, attributes, HashSet::from(parents)).map_err(|_| Unaskable("an entity makes no sense"))
}

fn record<const N: usize>(
    parts: [(String, RestrictedExpression); N],
) -> Result<RestrictedExpression, Unaskable> {
    RestrictedExpression::new_record(parts).map_err(|_| Unaskable("a record has a part twice"))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}
